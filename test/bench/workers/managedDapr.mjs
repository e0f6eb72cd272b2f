/** A manager inside this process, beside a sidecar. */
import { pathToFileURL } from "node:url"
import * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { answer } from "../lib/child.mjs"
import { cpu, several } from "../lib/measure.mjs"

const dist = pathToFileURL(`${process.argv[2]}/`)
const { ConnectionManager, ManagerLayer } = await import(new URL("index.js", dist).href)
const { grpcPort, heartbeatSeconds, httpPort } = JSON.parse(process.argv[3])
const heartbeat =
  heartbeatSeconds === undefined
    ? {}
    : {
        heartbeatInterval: Duration.seconds(heartbeatSeconds),
        heartbeatTtl: Duration.seconds(heartbeatSeconds * 3)
      }

const runtime = ManagedRuntime.make(
  Layer.provideMerge(
    ManagerLayer.layer({
      backing: "dapr",
      settings: {
        logLevel: "none",
        egress: "any",
        dialRatePerHost: 10_000,
        daprHttpPort: httpPort,
        daprGrpcPort: grpcPort,
        ...heartbeat
      }
    }),
    Logger.minimumLogLevel(LogLevel.None)
  )
)
const manager = await runtime.runPromise(ConnectionManager.ConnectionManager)
while (!runtime.runSync(ManagerLayer.ready)) await new Promise((resolve) => setTimeout(resolve, 5))

answer({
  connect: async ({ count, topic, url, way, requestIds = false }) => {
    const publishing = { packing: way === "packed" ? "PACKING_PACKED" : "PACKING_SINGLE" }
    await several(count, async (i) => {
      const requestId = requestIds ? { requestId: `${topic}-${i}` } : {}
      await runtime.runPromise(manager.connect({ url, topic, publishing, awaitOpen: true, ...requestId }))
    })
  },
  mark: () => ({ cpu: cpu(), at: performance.now() })
})
