/** A whole manager under load while its sidecar goes away, or accepts and never answers. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Health } from "../../src/manager/Health.js"
import * as C from "../support/Components.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { startSidecar } from "../support/Sidecar.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { eventually, expectSocketsKept, flood, judge, refusal, sendLast, sentBy, startManager } from "./judgedFeeds.js"

const TIMEOUT = 300_000

/** 5,000 frames a second: most of them singly, some packed. */
const SINGLY = { connections: 20, perSecond: 175 }
const PACKED = { connections: 3, perSecond: 500 }
const ROOMY = { maxFrames: 20_000, maxBytes: 64 * 1024 * 1024 }

requiring("daprd", "redis")("the sidecar killed under 5,000 frames a second", () => {
  it.scopedLive(
    "costs no socket and no frame: they wait in their buffers, and go on in order when it is back",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis()
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)] })
        const { log, manager, metric, open } = yield* startManager(sidecar)
        const singly = yield* Effect.forEach(Array.from({ length: SINGLY.connections }), (_, n) =>
          open({ topic: `single-${n % 4}`, buffer: ROOMY })
        )
        const packed = yield* Effect.forEach(Array.from({ length: PACKED.connections }), () =>
          open({ topic: "packed", buffer: ROOMY, publishing: { packing: "PACKING_PACKED" } })
        )
        const feeds = [...singly, ...packed]
        const sending = yield* flood([
          ...singly.map((feed) => [feed, SINGLY.perSecond] as const),
          ...packed.map((feed) => [feed, PACKED.perSecond] as const)
        ])
        yield* eventually("frames are published", () => metric("frames_published_total") > 3000)

        yield* sidecar.kill
        const killedAt = sentBy(feeds)
        yield* eventually("publishing fails", () => metric("publish_seconds", { outcome: "failed" }) > 0)
        const wait = metric("buffer_frames")
        yield* Effect.sleep("5 seconds")
        const restartedAt = sentBy(feeds)
        // what came meanwhile came through the sockets, and waits
        yield* eventually("what was sent waits", () => metric("buffer_frames") >= wait + 0.8 * (restartedAt - killedAt))
        expect(restartedAt - killedAt).toBeGreaterThan(15_000)
        yield* sidecar.start
        yield* eventually("publishing is well again", () =>
          log.some(({ text }) => /^publishing to topic single-\d is well again/.test(text))
        )
        const backAt = sentBy(feeds)
        yield* eventually("frames come on", () => sentBy(feeds) > backAt + 3000)
        yield* sending.stop

        expect(yield* judge(feeds, redis.port)).toEqual({ taken: sentBy(feeds), missing: 0 })
        expectSocketsKept(feeds)
        expect(metric("frames_dropped_total")).toBe(0)
        expect(metric("frames_published_total")).toBe(sentBy(feeds))
        expect(metric("reconnects_total")).toBe(0)
        expect(manager.events.filter(({ type }) => type === "gap" || type === "claimed")).toEqual([])
        expect(log.filter(({ level }) => level === "ERROR")).toEqual([])
        expect(log.some(({ level, text }) => level === "WARN" && text.includes("fails and is repeated"))).toBe(true)
      }),
    TIMEOUT
  )
})

requiring("daprd", "redis")("a sidecar that accepts and never answers", () => {
  it.scopedLive(
    "calls end by their deadline and say which; sockets stay, frames wait, and then each buffer's rule applies",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis()
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)] })
        const http = yield* StallingProxy.start(sidecar.httpPort)
        const grpc = yield* StallingProxy.start(sidecar.grpcPort)
        const beside = yield* startManager({ httpPort: http.port, grpcPort: grpc.port })
        const { log, manager, metric, open, server } = beside
        const roomy = yield* open({ topic: "roomy", buffer: ROOMY })
        const oldest = yield* open({
          topic: "oldest",
          buffer: { maxFrames: 500, overflow: "OVERFLOW_DROP_OLDEST" }
        })
        const newest = yield* open({
          topic: "newest",
          buffer: { maxFrames: 500, overflow: "OVERFLOW_DROP_NEWEST" }
        })
        const paused = yield* open({ topic: "paused", buffer: { maxFrames: 500, overflow: "OVERFLOW_PAUSE" } })
        const leaving = yield* open({ topic: "leaving" })
        const feeds = [roomy, oldest, newest, paused]
        const sending = yield* flood(feeds.map((feed) => [feed, 100] as const))
        yield* eventually("frames are published", () => metric("frames_published_total") > 300)

        yield* Effect.all([http.stall, grpc.stall])
        const stalledAt = Date.now()
        const health = yield* Effect.promise(() => manager.run(Effect.flatMap(Health, ({ report }) => report)))
        expect(health.filter(({ status }) => status === "degraded").map(({ name }) => name)).toEqual([
          "stateStore",
          "pubsub",
          "sidecar"
        ])

        const openings = server.openings.length
        const connect = yield* refusal(manager, manager.service.connect({ url: server.url, topic: "never" }))
        expect(connect).toMatchObject({ tag: "StateStoreUnavailable" })
        expect(connect.millis).toBeLessThan(9000)
        expect(server.openings).toHaveLength(openings)
        const disconnect = yield* refusal(manager, manager.service.disconnect({ id: leaving.id }))
        expect(disconnect).toMatchObject({ tag: "StateStoreUnavailable", outcome: "unknown" })
        expect(disconnect.millis).toBeLessThan(9000)
        expect(leaving.peer.open).toBe(false)
        expect(Date.now() - stalledAt).toBeLessThan(20_000)

        // longer than a publish waits for its answer, than the lease lasts, and than the small buffers hold
        yield* eventually(
          "publishing fails by its deadline",
          () => metric("publish_seconds", { outcome: "failed" }) > 2
        )
        expect(log.some(({ level, text }) => level === "WARN" && text.includes("no answer within 10 s"))).toBe(true)
        yield* eventually("overflow is told", () => oldest.reported() > 0 && newest.reported() > 0)
        const now = yield* Effect.promise(() => Promise.all(feeds.map((feed) => feed.view())))
        const [, , , pausedView] = now
        expect(now.map(({ framesDropped }) => framesDropped > 0)).toEqual([false, true, true, false])
        // it is not read any more: what its peer sends waits with the peer
        expect(pausedView!.framesReceived).toBeLessThan(paused.sentNow)
        expect(pausedView!.framesReceived - pausedView!.framesPublished).toBeLessThanOrEqual(1000)
        expectSocketsKept(feeds)

        yield* Effect.all([http.resume, grpc.resume])
        yield* eventually("the lost removal is made up for", async () => {
          const reply = await Effect.runPromise(
            redis.command("HGET", `websocketmanager/connections/${leaving.id}`, "data")
          )
          return "removedAt" in (JSON.parse(String(reply)) as object)
        })
        const resumedAt = metric("frames_published_total")
        yield* eventually("frames go on", () => metric("frames_published_total") > resumedAt + 500)
        yield* sending.stop
        yield* sendLast(feeds)

        const { missing, taken } = yield* judge(feeds, redis.port)
        expect(taken + missing).toBe(sentBy(feeds))
        expect(missing).toBe(metric("frames_dropped_total", { cause: "overflow" }))
        expect(missing).toBe(metric("frames_dropped_total"))
        expect(oldest.events("gap").map(({ attributes }) => attributes["cause"])).toContain("overflow")
        for (const feed of [roomy, paused]) expect(feed.events("gap")).toEqual([])
        expectSocketsKept(feeds)
        expect(manager.events.filter(({ type }) => type === "claimed")).toEqual([])
      }),
    TIMEOUT
  )
})
