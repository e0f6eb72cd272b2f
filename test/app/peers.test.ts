/** Two whole servers over one data folder: what one is asked for and the other owns passes between their real doors. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { render } from "../../src/observability/Prometheus.js"
import { startServer } from "../support/Doors.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"

const server = (settings: Partial<SettingsShape>) =>
  Effect.acquireRelease(
    Effect.promise(() => startServer(settings)),
    ({ stop }) => Effect.promise(stop)
  )

describe("two servers of one fleet", () => {
  it.scopedLive(
    "answer for each other through the peers' door, and each hop is counted once",
    () =>
      Effect.gen(function* () {
        const dataDir = yield* temporaryDirectory
        const common = { dataDir, heartbeatInterval: Duration.millis(500), heartbeatTtl: Duration.seconds(6) }
        const target = yield* Effect.acquireRelease(
          Effect.promise(() => ScriptedServer.start()),
          (started) => Effect.promise(() => started.stop())
        )
        const a = yield* server({ ...common, instanceId: "a" })
        const b = yield* server({ ...common, instanceId: "b" })
        yield* Effect.promise(async () => {
          const { connection } = await a.doors["rpc-ws"].call("Connect", { url: target.url })
          const id = connection!.id
          const seen = async () => (await b.doors["rpc-ws"].call("Get", { id })).connection!
          await expect.poll(async () => (await seen()).status, { timeout: 10_000 }).toBe("CONNECTION_STATUS_CONNECTED")
          expect((await seen()).instanceId).toBe("a")
          await b.doors.grpc.call("SetTag", { id, key: "k", value: "ü" })
          expect((await a.doors["rpc-ws"].call("GetTag", { id, key: "k" })).value).toBe("ü")
        })
        const count = (server: typeof a, door: string) =>
          Effect.promise(async () => {
            const text = render(await server.run(Effect.map(Metrics, (metrics) => metrics.collect())))
            const line = text.split("\n").find((l) => /rpc_seconds_count/.test(l) && l.includes(`"${door}"`) && l.includes('"SetTag"')) // prettier-ignore
            return Number(line?.split(" ").at(-1) ?? 0)
          })
        expect([yield* count(a, "peer"), yield* count(b, "grpc"), yield* count(b, "peer")]).toEqual([1, 1, 0])
      }),
    60_000
  )
})
