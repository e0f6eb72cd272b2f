/** What connections, frames and heartbeats cost the state store, counted by the sidecar and not by us. */
import { join } from "node:path"
import { afterEach, beforeAll, expect } from "vitest"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { built } from "../cli/runWsm.js"
import { cleanUp, Instance, until } from "../process/instanceProcess.js"
import * as C from "../support/Components.js"
import { serverFolder } from "../support/processes.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { type Sidecar, startSidecar } from "../support/Sidecar.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { beside, scoped } from "./besideSidecar.js"

const TIMEOUT = 120_000
const CONNECTS = 2
const FRAMES = 1000
const BEATS = 10
const BEAT_MS = 500
/** Longer than a status waits to be written behind, and than any etag is believed. */
const BEHIND = "6500 millis"
const QUIET = { WSM_HEARTBEAT_INTERVAL: "60 seconds", WSM_HEARTBEAT_TTL: "180 seconds" }
const BEATING = { WSM_HEARTBEAT_INTERVAL: `${BEAT_MS} millis`, WSM_HEARTBEAT_TTL: "3 seconds" }

const onRedis = Effect.gen(function* () {
  const redis = yield* startRedis()
  return yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubInMemory()] })
})
const onSqlite = Effect.gen(function* () {
  const folder = yield* serverFolder("sqlite")
  return yield* startSidecar({ resources: [C.stateSqlite(join(folder, "state.db")), C.pubsubInMemory()] })
})

const READS = new Set(["get", "bulk_get"])

/** All operations so far; whatever is no read is a write. */
const counts = ({ metricsPort }: Sidecar) =>
  Effect.promise(async () => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
    let [reads, writes] = [0, 0]
    for (const [, labels, count] of text.matchAll(/^dapr_component_state_count\{(.*)\} (\S+)$/gm)) {
      if (READS.has(/operation="([^"]*)"/.exec(labels!)?.[1] ?? "")) reads += Number(count)
      else writes += Number(count)
    }
    return { reads, writes }
  })

/** What the sidecar has counted while this ran. */
const during = <A, E>(sidecar: Sidecar, effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const before = yield* counts(sidecar)
    yield* effect
    const after = yield* counts(sidecar)
    // it does count
    expect(before.reads).toBeGreaterThan(0)
    expect(before.writes).toBeGreaterThan(0)
    return { writes: after.writes - before.writes, reads: after.reads - before.reads }
  })

const webSocketServer = scoped(
  () => ScriptedServer.start(),
  (server) => server.stop()
)

for (const [store, start, tools] of [
  ["redis", onRedis, ["redis"]],
  ["sqlite", onSqlite, []]
] as const) {
  requiring("daprd", ...tools)(`state operations on ${store}`, () => {
    beforeAll(built, 120_000)
    afterEach(cleanUp)

    for (const requestIds of [false, true]) {
      it.scopedLive(
        `a connect ${requestIds ? "with" : "without"} request_id is two writes and one behind, and at most four reads`,
        () =>
          Effect.gen(function* () {
            const sidecar = yield* start
            const server = yield* webSocketServer
            const direct = Number(new URL(server.url).port)
            const proxy = yield* StallingProxy.start(direct)
            const instance = yield* Effect.promise(() => Instance.start(beside(sidecar, QUIET)))
            const connect = (n: number, port: number, awaitOpen = true) =>
              Effect.promise(() =>
                instance.connect({
                  url: `ws://127.0.0.1:${port}`,
                  topic: "t",
                  awaitOpen,
                  ...(requestIds ? { requestId: `request-${n}` } : {})
                })
              )
            // the first page is made, not replaced
            yield* connect(0, direct)
            yield* Effect.sleep(BEHIND)
            for (let n = 1; n <= CONNECTS; n++) {
              // a peer that is quick, and one whose answer comes when no etag is believed any more
              const slow = n === CONNECTS
              const cost = yield* during(
                sidecar,
                Effect.gen(function* () {
                  if (slow) yield* proxy.stall
                  yield* connect(n, slow ? proxy.port : direct, !slow)
                  if (slow) yield* Effect.sleep("1500 millis")
                  if (slow) yield* proxy.resume
                  yield* Effect.promise(() => until(() => server.connections() === n + 1, "it is open"))
                  yield* Effect.sleep(BEHIND)
                })
              )
              expect(cost, slow ? "slow" : "quick").toMatchObject({ writes: 3 })
              expect(cost.reads, slow ? "slow" : "quick").toBeLessThanOrEqual(4)
            }
          }),
        TIMEOUT
      )
    }

    it.scopedLive(
      "a frame is none",
      () =>
        Effect.gen(function* () {
          const sidecar = yield* start
          const server = yield* webSocketServer
          const instance = yield* Effect.promise(() => Instance.start(beside(sidecar, QUIET)))
          const { id } = yield* Effect.promise(() => instance.connect({ url: server.url, topic: "t", awaitOpen: true }))
          yield* Effect.sleep(BEHIND)
          const cost = yield* during(
            sidecar,
            Effect.promise(async () => {
              await server.last.flood({ count: FRAMES, size: 200 })
              await until(async () => (await instance.get(id)).framesPublished === FRAMES, "all are published")
            })
          )
          expect(cost).toEqual({ writes: 0, reads: 0 })
        }),
      TIMEOUT
    )

    it.scopedLive(
      "a heartbeat is one write and a few reads, whatever the number of connections",
      () =>
        Effect.gen(function* () {
          const sidecar = yield* start
          const server = yield* webSocketServer
          const instance = yield* Effect.promise(() => Instance.start(beside(sidecar, BEATING)))
          for (let n = 0; n < 20; n++) yield* Effect.promise(() => instance.connect({ url: server.url }))
          yield* Effect.sleep(BEHIND)
          const began = performance.now()
          const cost = yield* during(sidecar, Effect.sleep(BEATS * BEAT_MS))
          // a beat comes an interval after the one before, never sooner; one may have been about to come
          const most = Math.floor((performance.now() - began) / BEAT_MS) + 1
          expect(cost.writes).toBeLessThanOrEqual(most)
          expect(cost.writes).toBeGreaterThanOrEqual(BEATS / 2)
          // its own record before and after it, and those of all instances once
          expect(cost.reads).toBeLessThanOrEqual(3 * most)
        }),
      TIMEOUT
    )
  })
}
