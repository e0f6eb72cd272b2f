/** A whole instance in this process, with all doors, for what reaches it over sockets; and how long its event loop stood still. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { once } from "node:events"
import * as Net from "node:net"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import { GrpcListener } from "../../src/api/grpc/GrpcServer.js"
import { HttpListener } from "../../src/api/http/HttpListener.js"
import * as ManagerLayer from "../../src/app/ManagerLayer.js"
import * as ServerLayer from "../../src/app/ServerLayer.js"
import { ConnectionManager } from "../../src/manager/ConnectionManager.js"

export interface Instance {
  readonly backend: MemoryState.MemoryBackend
  readonly manager: ConnectionManager["Type"]
  readonly run: <A, E>(effect: Effect.Effect<A, E, ServerLayer.Provided>) => Promise<A>
  readonly httpPort: number
  readonly grpcPort: number
  /** What it said at ERROR since this was asked last. */
  readonly errors: () => ReadonlyArray<string>
  readonly stop: () => Promise<void>
}

export const startInstance = async (): Promise<Instance> => {
  const said: Array<string> = []
  const backend = new MemoryState.MemoryBackend()
  const logger = Logger.make(({ cause, logLevel, message }) => {
    // that a connection is given up, as its peer's close code asks, is said at ERROR, and is no defect
    if (String(message) === "failed") return
    if (LogLevel.greaterThanEqual(logLevel, LogLevel.Error)) said.push(`${String(message)} ${JSON.stringify(cause)}`)
  })
  const runtime = ManagedRuntime.make(
    Layer.provideMerge(
      ServerLayer.layer({
        settings: {
          dataDir: "",
          egress: "any",
          dialRatePerHost: 10_000,
          httpPort: 0,
          grpcPort: 0,
          bufferMaxBytes: 64 * 1024 * 1024,
          // a fuzzer that gets no processor for seconds says nothing about its inputs
          heartbeatTtl: Duration.minutes(1)
        },
        stateStore: MemoryState.layer(backend)
      }),
      Logger.replace(Logger.defaultLogger, logger)
    )
  ) as ManagedRuntime.ManagedRuntime<ServerLayer.Provided, unknown>
  const context = await runtime.runPromise(Effect.context<ServerLayer.Provided>())
  while (!runtime.runSync(ManagerLayer.ready)) await new Promise((resolve) => setTimeout(resolve, 5))
  return {
    backend,
    manager: Context.get(context, ConnectionManager),
    run: (effect) => runtime.runPromise(effect),
    httpPort: Number(new URL(Context.get(context, HttpListener).address).port),
    grpcPort: Context.get(context, GrpcListener).port,
    errors: () => said.splice(0),
    stop: () => runtime.dispose()
  }
}

/** Sends these bytes to a port and reads what comes, until the other side ends it or `millis` have passed. */
export const exchange = async (port: number, pieces: ReadonlyArray<Uint8Array>, millis: number): Promise<Buffer> => {
  const socket = Net.connect(port, "127.0.0.1")
  const got: Array<Buffer> = []
  let bytes = 0
  socket.on("data", (data) => {
    if ((bytes += data.length) < 1024 * 1024) got.push(data)
  })
  socket.on("error", () => {})
  const timer = setTimeout(() => socket.destroy(), millis)
  try {
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
    await Promise.race([once(socket, "connect"), closed]).catch(() => {})
    for (const piece of pieces) if (!socket.destroyed) socket.write(piece)
    await closed
  } finally {
    clearTimeout(timer)
  }
  return Buffer.concat(got)
}
