/** What the health doors say when something behind the sidecar is away, or the sidecar itself. */
import { afterEach, beforeAll, expect } from "vitest"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { built } from "../cli/runWsm.js"
import { cleanUp, Instance, until } from "../process/instanceProcess.js"
import * as C from "../support/Components.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { startSidecar } from "../support/Sidecar.js"
import { beside, healthOf, readiness, scoped } from "./besideSidecar.js"

const TIMEOUT = 90_000
/** Two looks a second each, and a machine with other things to do. */
const SOON_MS = 6000

const becomes = (instance: Instance, by: Readonly<Record<string, string>>) =>
  Effect.promise(() =>
    until(
      async () => {
        const health = await healthOf(instance.url)
        return Object.entries(by).every(([name, status]) => health.by[name] === status)
      },
      JSON.stringify(by),
      SOON_MS
    )
  )

const OK = { manager: "ok", lease: "ok", stateStore: "ok", pubsub: "ok", sidecar: "ok" }

requiring("daprd", "redis")("/health beside a sidecar", () => {
  beforeAll(built, 120_000)
  afterEach(cleanUp)

  it.scopedLive(
    "names store and bus when Redis is away, and the sidecar when that is; readiness and the sockets stay",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis({ persistent: true })
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)] })
        const server = yield* scoped(
          () => ScriptedServer.start(),
          (server) => server.stop()
        )
        const env = beside(sidecar, { WSM_HEARTBEAT_INTERVAL: "500 millis", WSM_HEARTBEAT_TTL: "1500 millis" })
        const instance = yield* Effect.promise(() => Instance.start(env))
        yield* Effect.promise(() => instance.connect({ url: server.url, topic: "t" }))
        yield* becomes(instance, OK)

        yield* redis.stop
        yield* becomes(instance, { stateStore: "degraded", sidecar: "ok" })
        // what a broker takes is known from what is published
        server.last.send("while it is away")
        yield* becomes(instance, { stateStore: "degraded", pubsub: "degraded", sidecar: "ok" })
        // longer than the lease: alone, the instance extends its own
        yield* Effect.sleep("2 seconds")
        const away = yield* Effect.promise(() => healthOf(instance.url))
        expect([away.status, away.phase, away.by["lease"], away.by["manager"]]).toEqual([
          "degraded",
          "ready",
          "ok",
          "ok"
        ])
        expect(yield* Effect.promise(() => readiness(instance.url))).toBe(200)

        yield* redis.start
        yield* becomes(instance, OK)

        yield* sidecar.kill
        yield* becomes(instance, { stateStore: "degraded", pubsub: "degraded", sidecar: "degraded" })
        const without = yield* Effect.promise(() => healthOf(instance.url))
        const { detail } = without.dependencies.find(({ name }) => name === "sidecar")!
        expect(detail).toContain(`127.0.0.1:${sidecar.httpPort}`)
        expect(yield* Effect.promise(() => readiness(instance.url))).toBe(200)

        yield* sidecar.start
        yield* becomes(instance, OK)
        expect(server.peers.map(({ open }) => open)).toEqual([true])
      }),
    TIMEOUT
  )
})
