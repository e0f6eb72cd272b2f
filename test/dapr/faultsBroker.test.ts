/** A whole manager under load while its broker is away for longer than the buffers hold, or refuses a topic. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Health } from "../../src/manager/Health.js"
import * as C from "../support/Components.js"
import { startNats } from "../support/Nats.js"
import { startRedis } from "../support/Redis.js"
import { streamLength } from "../support/RedisStream.js"
import { requiring } from "../support/Requirements.js"
import { startSidecar } from "../support/Sidecar.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"
import {
  eventually,
  expectSocketsKept,
  type Feed,
  flood,
  judge,
  judgeEvents,
  LIFECYCLE,
  sendLast,
  sentBy,
  startManager
} from "./judgedFeeds.js"

const TIMEOUT = 300_000
const SMALL = 400

requiring("daprd", "redis")("a broker away for longer than the buffers hold", () => {
  it.scopedLive(
    "costs each connection what its own rule says, and no other; all of it is counted and told",
    () =>
      Effect.gen(function* () {
        const [records, topics] = [yield* startRedis(), yield* startRedis({ persistent: true })]
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(records.port), C.pubsubRedis(topics.port)] })
        const { manager, metric, open, server } = yield* startManager(sidecar)
        const { service } = manager
        const small = (overflow: "OVERFLOW_PAUSE" | "OVERFLOW_DROP_OLDEST" | "OVERFLOW_DROP_NEWEST") => ({
          buffer: { maxFrames: SMALL, overflow }
        })
        const roomy = yield* open({ topic: "all", buffer: { maxFrames: 20_000 } })
        const oldest = yield* open({ topic: "all", ...small("OVERFLOW_DROP_OLDEST") })
        const newest = yield* open({ topic: "all", ...small("OVERFLOW_DROP_NEWEST") })
        const paused = yield* open({ topic: "all", ...small("OVERFLOW_PAUSE") })
        const packed = yield* open({
          topic: "packed",
          ...small("OVERFLOW_DROP_OLDEST"),
          publishing: { packing: "PACKING_PACKED", maxFrames: 50 }
        })
        const feeds = [roomy, oldest, newest, paused, packed]
        const sending = yield* flood(feeds.map((feed) => [feed, 200] as const))
        yield* eventually("frames are published", () => metric("frames_published_total") > 500)

        yield* topics.stop
        const views = () => Promise.all(feeds.map((feed) => feed.view()))
        yield* eventually("three overflow", async () => {
          const [, oldest, newest, , packed] = await views()
          return [oldest, newest, packed].every((view) => view!.framesDropped > 2 * SMALL)
        })
        const away = yield* Effect.promise(views)
        expect(away.map(({ framesDropped }) => framesDropped > 0)).toEqual([false, true, true, false, true])
        // read no more, and no more is kept than was allowed; what had come in one piece with the last frame comes along
        expect(away[3]!.framesReceived).toBeLessThan(paused.sentNow)
        const kept = away.map((view) => view.framesReceived - view.framesPublished - view.framesDropped)
        for (const n of [1, 2, 4]) expect(kept[n]).toBeLessThanOrEqual(SMALL)
        expect(kept[3]).toBeLessThanOrEqual(2 * SMALL)
        // what it holds is told while it holds: whoever watches here knows of the gaps before the broker does
        for (const feed of [oldest, newest, packed]) yield* eventually("a gap", () => feed.events("gap").length > 1)
        // the store is another, and all that needs it goes on
        const { connection } = yield* Effect.promise(() =>
          manager.run(service.connect({ url: server.url, topic: "new" }))
        )
        expect(connection.status).toBe("CONNECTION_STATUS_CONNECTED")
        yield* Effect.promise(() => manager.run(service.setTag(roomy.id, "a", "b")))
        const health = yield* Effect.promise(() => manager.run(Health))
        expect(health.ready()).toBe(true)
        const lines = yield* health.report
        expect(lines.filter(({ status }) => status === "degraded").map(({ name }) => name)).toEqual(["pubsub"])

        yield* topics.start
        const backAt = metric("frames_published_total")
        yield* eventually("frames go on", () => metric("frames_published_total") > backAt + 3000)
        yield* eventually(
          "its peer is read on",
          async () => (await paused.view()).framesReceived > away[3]!.framesReceived + 100
        )
        yield* sending.stop
        yield* sendLast(feeds)

        const { missing, taken } = yield* judge(feeds, topics.port)
        expect(taken + missing).toBe(sentBy(feeds))
        expect(missing).toBe(metric("frames_dropped_total", { cause: "overflow" }))
        expect(missing).toBe(metric("frames_dropped_total"))
        for (const feed of feeds) {
          const causes = new Set(feed.events("gap").map(({ attributes }) => attributes["cause"]))
          expect([...causes]).toEqual([roomy, paused].includes(feed) ? [] : ["overflow"])
        }
        const gaps = manager.events.filter(({ type }) => type === "gap")
        expect(metric("gaps_total", { cause: "overflow" })).toBe(gaps.length)
        expectSocketsKept(feeds)
      }),
    TIMEOUT
  )

  it.scopedLive(
    "so does one whose instance has no room left for all of them together",
    () =>
      Effect.gen(function* () {
        const [records, topics] = [yield* startRedis(), yield* startRedis({ persistent: true })]
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(records.port), C.pubsubRedis(topics.port)] })
        const limit = 1024 * 1024
        const { metric, open } = yield* startManager(sidecar, { bufferMaxBytes: limit })
        const feeds = yield* Effect.forEach(Array.from({ length: 6 }), (_, n) =>
          open({ topic: "all", buffer: { overflow: n < 3 ? "OVERFLOW_DROP_OLDEST" : "OVERFLOW_PAUSE" } })
        )
        // 2,000 bytes a frame: each may keep 4,096, all of them together some 500
        const sending = yield* flood(
          feeds.map((feed) => [feed, 100] as const),
          2000
        )
        yield* eventually("frames are published", () => metric("frames_published_total") > 300)
        yield* topics.stop
        yield* eventually("it overflows", () => metric("frames_dropped_total", { cause: "overflow" }) > 500)
        expect(metric("buffer_bytes")).toBeLessThanOrEqual(limit + 2000 * feeds.length)
        yield* topics.start
        const backAt = metric("frames_published_total")
        yield* eventually("frames go on", () => metric("frames_published_total") > backAt + 1000)
        yield* sending.stop
        yield* sendLast(feeds)
        const { missing, taken } = yield* judge(feeds, topics.port)
        expect(taken + missing).toBe(sentBy(feeds))
        expect(missing).toBe(metric("frames_dropped_total", { cause: "overflow" }))
        for (const feed of feeds.slice(3)) expect(feed.events("gap")).toEqual([])
        expectSocketsKept(feeds)
      }),
    TIMEOUT
  )
})

requiring("daprd", "redis")("a broker away for longer than a refused event is repeated", () => {
  it.scopedLive(
    "costs nothing that the buffers hold: every frame of either topic, in order, when it is back",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis({ persistent: true })
        const sidecar = yield* startSidecar({ resources: [C.stateInMemory(), C.pubsubRedis(redis.port)] })
        const { log, manager, metric, open } = yield* startManager(sidecar)
        const buffer = { maxFrames: 20_000, maxBytes: 16 * 1024 * 1024 }
        const feeds = [
          yield* open({ topic: "singly", buffer }),
          yield* open({ topic: "packed", buffer, publishing: { packing: "PACKING_PACKED" } })
        ]
        const sending = yield* flood(feeds.map((feed) => [feed, 50] as const))
        yield* eventually("frames are published", () => metric("frames_published_total") > 200)

        yield* redis.stop
        const stoppedAt = Date.now()
        yield* eventually("publishing fails", () => metric("publish_seconds", { outcome: "failed" }) > 1)
        const away = metric("frames_published_total")
        // one that is refused alone is given up after half a minute
        yield* Effect.sleep(Math.max(0, stoppedAt + 42_000 - Date.now()))
        expect(metric("frames_published_total")).toBe(away)
        expect(metric("buffer_frames")).toBeGreaterThan(0.8 * 42 * 100)
        const lines = yield* Effect.promise(() => manager.run(Effect.flatMap(Health, ({ report }) => report)))
        expect(lines.filter(({ status }) => status === "degraded").map(({ name }) => name)).toEqual(["pubsub"])

        yield* redis.start
        const backAt = sentBy(feeds)
        yield* eventually("frames come on", () => sentBy(feeds) > backAt + 200)
        yield* sending.stop
        expect(yield* judge(feeds, redis.port)).toEqual({ taken: sentBy(feeds), missing: 0 })
        for (const feed of feeds) {
          const view = yield* Effect.promise(() => feed.view())
          expect([view.framesPublished, view.framesDropped]).toEqual([feed.sent.length, 0])
        }
        expectSocketsKept(feeds)
        expect(metric("frames_dropped_total")).toBe(0)
        expect(manager.events.filter(({ type }) => type === "gap")).toEqual([])
        expect(log.filter(({ level }) => level === "ERROR")).toEqual([])
      }),
    TIMEOUT
  )
})

requiring("daprd", "redis")("a broker that does not answer, for more topics than are published to at once", () => {
  it.scopedLive(
    "is what health blames, not the sidecar; a secret is there at once",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis()
        const file = join(yield* temporaryDirectory, "secrets.json")
        writeFileSync(file, JSON.stringify({ feed: { token: "t0k" } }))
        const sidecar = yield* startSidecar({
          resources: [
            C.stateInMemory(),
            C.pubsubRedis(redis.port),
            C.secretsFile(file, { metadata: { multiValued: "true" } })
          ]
        })
        const { manager, metric, open, server } = yield* startManager(sidecar, { secretStore: C.SECRETS })
        const feeds = yield* Effect.forEach(Array.from({ length: 80 }), (_, n) => open({ topic: `t${n}` }))
        const status = (name: string) =>
          Effect.map(
            Effect.promise(() => manager.run(Effect.flatMap(Health, ({ report }) => report))),
            (lines) => lines.find((line) => line.name === name)!.status
          )
        yield* redis.pause
        for (const feed of feeds) feed.send("waits")
        yield* eventually("all wait", () => metric("buffer_frames") >= 80)
        // long enough for every publish that may be on its way to be there
        yield* Effect.sleep("1 second")
        for (let n = 0; n < 5; n++) {
          expect(yield* status("sidecar")).toBe("ok")
          const began = performance.now()
          const headers = { authorization: "secret:feed/token" }
          yield* Effect.promise(() =>
            manager.run(manager.service.connect({ url: server.url, topic: "other", headers }))
          )
          expect(server.last.headers["authorization"]).toBe("t0k")
          expect(performance.now() - began).toBeLessThan(2000)
        }
        yield* Effect.repeat(status("pubsub"), { until: (now) => now === "degraded" }).pipe(
          Effect.timeout("30 seconds")
        )
        expect(yield* status("sidecar")).toBe("ok")
        yield* redis.resume
        yield* eventually("all are published", () => metric("frames_published_total") >= 80)
        expect(metric("frames_dropped_total")).toBe(0)
      }),
    TIMEOUT
  )
})

requiring(
  "daprd",
  "nats",
  "redis"
)("JetStream away for longer than the buffers hold", () => {
  it.scopedLive(
    "costs what the rule says, counted and told; the rest is in the stream, in order",
    () =>
      Effect.gen(function* () {
        const nats = yield* startNats({ subjects: ["feed", "lifecycle"] })
        const records = yield* startRedis()
        const sidecar = yield* startSidecar({
          resources: [C.stateRedis(records.port), C.pubsubJetstream(nats.url, nats.stream)]
        })
        const { metric, open } = yield* startManager(sidecar, { lifecycleTopic: "lifecycle" })
        const roomy = yield* open({ topic: "feed", buffer: { maxFrames: 20_000 } })
        const oldest = yield* open({ topic: "feed", buffer: { maxFrames: 50, overflow: "OVERFLOW_DROP_OLDEST" } })
        const feeds = [roomy, oldest]
        const sending = yield* flood(feeds.map((feed) => [feed, 50] as const))
        yield* eventually("frames are published", () => metric("frames_published_total") > 50)
        yield* nats.kill
        yield* eventually("it overflows", () => metric("frames_dropped_total", { cause: "overflow" }) > 50)
        yield* nats.start
        const backAt = metric("frames_published_total")
        yield* eventually("frames go on", () => metric("frames_published_total") > backAt + 200)
        yield* sending.stop
        yield* sendLast(feeds)
        const read = (topic: string) =>
          Effect.runPromise(nats.messages(topic)).then((all) =>
            all.map((message) => JSON.parse(String(message)) as object)
          )
        const { missing, taken } = yield* judgeEvents(feeds, { lifecycle: "lifecycle", read })
        expect(taken + missing).toBe(sentBy(feeds))
        expect(missing).toBe(metric("frames_dropped_total"))
        expect(roomy.events("gap")).toEqual([])
        expectSocketsKept(feeds)
      }),
    TIMEOUT
  )
})

requiring(
  "daprd",
  "nats",
  "redis"
)("a topic that no stream of JetStream takes", () => {
  it.scopedLive(
    "is tried for half a minute while others go through, and then costs its own frames, counted and told",
    () =>
      Effect.gen(function* () {
        const nats = yield* startNats({ subjects: ["good", "lifecycle"] })
        const records = yield* startRedis()
        const sidecar = yield* startSidecar({
          resources: [C.stateRedis(records.port), C.pubsubJetstream(nats.url, nats.stream)]
        })
        const { log, metric, open } = yield* startManager(sidecar, { lifecycleTopic: "lifecycle" })
        const good = yield* open({ topic: "good" })
        const nowhere = yield* open({ topic: "nowhere" })
        const feeds = [good, nowhere]
        nowhere.send("in vain")
        const beganAt = Date.now()
        const sending = yield* flood([[good, 20]])
        yield* eventually("it is given up", async () => (await nowhere.view()).framesDropped === 1)
        expect(Date.now() - beganAt).toBeGreaterThan(29_000)
        yield* sending.stop
        const read = (topic: string) =>
          Effect.runPromise(nats.messages(topic)).then((all) =>
            all.map((message) => JSON.parse(String(message)) as object)
          )
        const { taken } = yield* judgeEvents(feeds, { lifecycle: "lifecycle", read })
        expect(taken).toBe(good.sent.length)
        expect(nowhere.events("gap").map(({ attributes }) => attributes)).toEqual([
          expect.objectContaining({ cause: "publish", lost: "1", firstsequence: "2" })
        ])
        expect(metric("frames_dropped_total", { cause: "publish" })).toBe(1)
        expect(metric("frames_dropped_total")).toBe(1)
        expect(good.events("gap")).toEqual([])
        const said = log.filter(({ level, text }) => level === "WARN" && text.includes("topic nowhere"))
        expect(said[0]!.text).toContain("fails and is repeated")
        expectSocketsKept(feeds)
      }),
    TIMEOUT
  )
})

requiring("daprd", "redis")("a topic that the sidecar refuses", () => {
  it.scopedLive(
    "costs its own frames, dropped at once, counted and told; other topics go on, and so does the same connection on one",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis()
        const metadata = { publishingScopes: `wsm=good,better,${LIFECYCLE}` }
        const sidecar = yield* startSidecar({
          resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port, { metadata })]
        })
        const { log, manager, metric, open } = yield* startManager(sidecar, { publishLinger: Duration.millis(5) })
        const good = yield* open({ topic: "good" })
        const bad = yield* open({ topic: "forbidden" })
        const packed = yield* open({ topic: "forbidden", publishing: { packing: "PACKING_PACKED" } })
        const feeds: ReadonlyArray<Feed> = [good, bad, packed]
        const sending = yield* flood(feeds.map((feed) => [feed, 100] as const))
        yield* eventually("frames of both are dropped", async () =>
          (await Promise.all([bad, packed].map((feed) => feed.view()))).every(
            ({ framesDropped }) => framesDropped > 200
          )
        )
        const refused = yield* Effect.promise(() => Promise.all(feeds.map((feed) => feed.view())))
        expect(refused.map(({ framesPublished }) => framesPublished > 0)).toEqual([true, false, false])
        expect(metric("publish_seconds", { outcome: "failed" })).toBe(0)

        // whoever is told can mend it: the same connection on a topic that is allowed
        yield* Effect.promise(() => manager.run(manager.service.startPublish({ id: bad.id, topic: "better" })))
        yield* eventually("it is published there", () =>
          streamLength(redis.port, "better").then((length) => length > 200)
        )
        yield* sending.stop

        const { taken } = yield* judge(feeds, redis.port, ["good", "better", "forbidden"])
        expect(taken).toBe(metric("frames_published_total"))
        expect(taken + metric("frames_dropped_total", { cause: "publish" })).toBe(sentBy(feeds))
        expect(metric("frames_dropped_total")).toBe(metric("frames_dropped_total", { cause: "publish" }))
        expect(good.events("gap")).toEqual([])
        for (const feed of [bad, packed]) {
          const gaps = feed.events("gap")
          expect(new Set(gaps.map(({ attributes }) => attributes["cause"]))).toEqual(new Set(["publish"]))
          expect(feed.reported()).toBe((yield* Effect.promise(() => feed.view())).framesDropped)
        }
        expect(yield* Effect.promise(() => streamLength(redis.port, "forbidden"))).toBe(0)
        const said = log.filter(({ text }) => text.includes("an event for topic forbidden is refused and dropped"))
        expect(said.length).toBeGreaterThan(0)
        expect(said[0]).toMatchObject({ level: "WARN", text: expect.stringContaining("not allowed") })
        expectSocketsKept(feeds)
      }),
    TIMEOUT
  )
})
