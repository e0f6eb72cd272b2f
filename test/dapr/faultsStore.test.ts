/** A whole manager under load while its store goes away, is started again, or comes back empty. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Health } from "../../src/manager/Health.js"
import * as C from "../support/Components.js"
import { startPostgres } from "../support/Postgres.js"
import { type Redis, startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { startSidecar } from "../support/Sidecar.js"
import { subscribe } from "../support/Subscriber.js"
import { eventually, expectSocketsKept, flood, judge, refusal, sentBy, startManager } from "./judgedFeeds.js"

const TIMEOUT = 300_000
const ROOMY = { maxFrames: 20_000, maxBytes: 64 * 1024 * 1024 }

/** A record as Dapr's Redis store keeps it; undefined where there is none. */
const recordOf = async (redis: Redis, key: string) => {
  const reply = await Effect.runPromise(redis.command("HGET", key, "data"))
  return reply === null ? undefined : (JSON.parse(String(reply)) as Readonly<Record<string, unknown>>)
}

requiring("daprd", "redis")("Redis, with the records and the topics, stopped for 20 seconds", () => {
  it.scopedLive(
    "costs no socket and no frame; nothing new is accepted; what was disconnected meanwhile is removed when it is back",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis({ persistent: true })
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)] })
        const { log, manager, metric, open, server } = yield* startManager(sidecar)
        const { service } = manager
        const feeds = yield* Effect.forEach(Array.from({ length: 8 }), (_, n) =>
          open({
            topic: `t${n % 3}`,
            buffer: ROOMY,
            publishing: { packing: n < 6 ? "PACKING_SINGLE" : "PACKING_PACKED" }
          })
        )
        const leaving = yield* open({ topic: "leaving" })
        const tagged = feeds[0]!
        const sending = yield* flood(feeds.map((feed) => [feed, 100] as const))
        yield* eventually("frames are published", () => metric("frames_published_total") > 500)

        yield* redis.stop
        const stoppedAt = Date.now()
        yield* eventually("publishing fails", () => metric("publish_seconds", { outcome: "failed" }) > 0)

        const openings = server.openings.length
        for (const requestId of ["", "once"]) {
          const request = { url: server.url, topic: "never", ...(requestId === "" ? {} : { requestId }) }
          const connect = yield* refusal(manager, service.connect(request))
          expect(connect).toMatchObject({ tag: "StateStoreUnavailable" })
          expect(connect.millis).toBeLessThan(9000)
        }
        expect(yield* refusal(manager, service.setTag(tagged.id, "a", "b"))).toMatchObject({
          tag: "StateStoreUnavailable"
        })
        expect(server.openings).toHaveLength(openings)

        const disconnect = yield* refusal(manager, service.disconnect({ id: leaving.id }))
        expect(disconnect).toMatchObject({ tag: "StateStoreUnavailable", outcome: "unknown" })
        expect(disconnect.millis).toBeLessThan(9000)
        expect([leaving.peer.open, leaving.peer.closeCode]).toEqual([false, 1000])
        expect((yield* Effect.promise(() => manager.refused(service.get(leaving.id))))._tag).toBe("ConnectionNotFound")

        // many times its lease of 4 seconds: alone, it extends that itself
        yield* Effect.sleep(Math.max(0, stoppedAt + 20_000 - Date.now()))
        const health = yield* Effect.promise(() => manager.run(Health))
        expect(health.ready()).toBe(true)
        const lines = yield* health.report
        // and what has been tried again for long beside them
        const degraded = lines.filter(({ status }) => status === "degraded").map(({ name }) => name)
        expect(degraded, JSON.stringify(lines)).toEqual(expect.arrayContaining(["stateStore", "pubsub"]))
        expect(degraded).not.toContain("lease")
        expectSocketsKept(feeds)
        expect(metric("buffer_frames")).toBeGreaterThan(0.8 * 20 * 8 * 100)
        // Send needs no store
        yield* Effect.promise(() => manager.run(service.sendRaw({ id: tagged.id, message: Buffer.from("still here") })))
        yield* eventually("the peer has it", () => tagged.peer.texts.includes("still here"))

        yield* redis.start
        yield* eventually("the removal is made up for", async () => {
          const record = await recordOf(redis, `websocketmanager/connections/${leaving.id}`)
          return record !== undefined && "removedAt" in record
        })
        const backAt = sentBy(feeds)
        yield* eventually("frames come on", () => sentBy(feeds) > backAt + 1000)
        yield* sending.stop

        expect(yield* judge(feeds, redis.port)).toEqual({ taken: sentBy(feeds), missing: 0 })
        expectSocketsKept(feeds)
        expect(server.openings).toHaveLength(openings)
        expect(metric("frames_dropped_total")).toBe(0)
        expect(metric("events_dropped_total")).toBe(0)
        expect(manager.events.filter(({ type }) => type === "gap" || type === "claimed")).toEqual([])
        expect(metric("state_operations_total", { outcome: "unavailable" })).toBeGreaterThan(10)
        expect(log.some(({ level, text }) => level === "WARN" && /heartbeat.*lease runs for/.test(text))).toBe(true)
        const { connections } = yield* Effect.promise(() => manager.run(service.list({ pageSize: 100 })))
        expect(connections.map(({ id }) => id).toSorted()).toEqual(feeds.map(({ id }) => id).toSorted())
        // who asks again is served
        const again = { url: server.url, topic: "now", requestId: "once" }
        yield* Effect.promise(() => manager.run(service.connect(again)))
        expect(server.openings).toHaveLength(openings + 1)
      }),
    TIMEOUT
  )
})

requiring("daprd", "redis")("Redis, with the records, restarted empty", () => {
  it.scopedLive(
    "fences at the next beat and says so loudly; what was held is created anew with a higher epoch, and told",
    () =>
      Effect.gen(function* () {
        const [records, topics] = [yield* startRedis(), yield* startRedis({ persistent: true })]
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(records.port), C.pubsubRedis(topics.port)] })
        const { log, manager, metric, open, server } = yield* startManager(sidecar, { instanceId: "one" })
        const feeds = yield* Effect.forEach(Array.from({ length: 10 }), (_, n) =>
          open({ topic: `t${n % 3}`, buffer: ROOMY, tags: { n: `${n}` } })
        )
        const sending = yield* flood(feeds.map((feed) => [feed, 100] as const))
        yield* eventually("frames are published", () => metric("frames_published_total") > 500)
        const before = yield* Effect.promise(() => Promise.all(feeds.map((feed) => feed.view())))
        const incarnation = (yield* Effect.promise(() => recordOf(records, "websocketmanager/instances/one")))![
          "incarnation"
        ]

        yield* records.kill
        yield* records.start
        yield* eventually("all sockets are there again", () => feeds.every(({ sockets }) => sockets.length === 2))
        const backAt = sentBy(feeds)
        yield* eventually("frames come on", () => sentBy(feeds) > backAt + 1000)
        yield* sending.stop

        const heard = log.filter(({ text }) => text.includes("the state store has lost the record of this instance"))
        expect(heard.map(({ level }) => level)).toEqual(["ERROR"])
        const joined = manager.events.filter(({ type }) => type === "instance-joined")
        expect(joined.at(-1)!.attributes["incarnation"]).not.toBe(incarnation)
        const beat = yield* Effect.promise(() => recordOf(records, "websocketmanager/instances/one"))
        expect(beat).toMatchObject({
          id: "one",
          status: "alive",
          incarnation: joined.at(-1)!.attributes["incarnation"],
          connections: 10
        })
        const after = yield* Effect.promise(() => Promise.all(feeds.map((feed) => feed.view())))
        for (const [n, feed] of feeds.entries()) {
          expect(after[n]!.epoch).toBeGreaterThan(before[n]!.epoch)
          expect(after[n]!).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED", tags: { n: `${n}` } })
          const record = yield* Effect.promise(() => recordOf(records, `websocketmanager/connections/${feed.id}`))
          expect(record).toMatchObject({ owner: "one", incarnation: beat!["incarnation"], epoch: after[n]!.epoch })
          expect(feed.events("claimed").map(({ attributes }) => [attributes["from"], attributes["reason"]])).toEqual([
            ["one", "restart"]
          ])
          const gaps = feed.events("gap").filter(({ attributes }) => attributes["cause"] === "takeover")
          expect(gaps.map(({ attributes }) => attributes)).toEqual([
            expect.objectContaining({
              lastepoch: String(before[n]!.epoch),
              firstepoch: String(after[n]!.epoch),
              firstsequence: "1",
              lost: "unknown"
            })
          ])
        }
        expect(metric("gaps_total", { cause: "takeover" })).toBe(10)
        expect(metric("takeovers_total", { reason: "restart" })).toBe(10)
        const { taken } = yield* judge(feeds, topics.port)
        expect(taken).toBe(metric("frames_published_total"))
        expect(taken + metric("frames_dropped_total")).toBe(metric("frames_received_total"))
        expect(server.connections()).toBe(10)
        const health = yield* Effect.promise(() => manager.run(Health))
        expect(health.ready()).toBe(true)
      }),
    TIMEOUT
  )
})

requiring(
  "daprd",
  "redis",
  "postgres"
)("PostgreSQL, with the records, restarted", () => {
  it.scopedLive(
    "costs no socket and no frame, at the broker and at a subscriber, and the records go on",
    () =>
      Effect.gen(function* () {
        const postgres = yield* startPostgres
        const redis = yield* startRedis()
        const sidecar = yield* startSidecar({
          resources: [
            C.statePostgres(postgres.connectionString),
            C.pubsubRedis(redis.port),
            C.resiliencyTimeouts({ [C.STATE]: "2s" })
          ]
        })
        const { manager, metric, open, server } = yield* startManager(sidecar)
        const { service } = manager
        const feeds = yield* Effect.forEach(Array.from({ length: 6 }), (_, n) => open({ topic: `t${n % 2}` }))
        const watched = feeds.filter(({ topic }) => topic === "t0")
        const subscriber = yield* subscribe({ sidecar, topic: "t0" })
        const sending = yield* flood(feeds.map((feed) => [feed, 100] as const))
        yield* eventually("frames are published", () => metric("frames_published_total") > 300)

        for (const how of ["stop", "kill"] as const) {
          yield* postgres[how]
          const away = metric("frames_published_total")
          const connect = yield* refusal(manager, service.connect({ url: server.url, topic: "never" }))
          expect(connect).toMatchObject({ tag: "StateStoreUnavailable" })
          // longer than its lease of 4 seconds; frames go on, since the broker is there
          yield* Effect.sleep("4500 millis")
          yield* eventually("frames go on without it", () => metric("frames_published_total") > away + 500)
          yield* postgres.start
          const beats = metric("heartbeat_seconds", { outcome: "ok" })
          yield* eventually("the heartbeat goes on", () => metric("heartbeat_seconds", { outcome: "ok" }) > beats + 1)
        }
        const late = yield* open({ topic: "t1" })
        yield* sending.stop
        late.send("of one that came later")

        const all = [...feeds, late]
        expect(yield* judge(all, redis.port)).toEqual({ taken: sentBy(all), missing: 0 })
        const events = yield* subscriber.received(sentBy(watched), 30_000)
        for (const feed of watched) {
          const texts = events.filter(({ extensions }) => extensions["connectionid"] === feed.id)
          expect(texts.map(({ data }) => data.toString())).toEqual(feed.sent.map(String))
        }
        expectSocketsKept(all)
        expect(metric("frames_dropped_total")).toBe(0)
        expect(manager.events.filter(({ type }) => type === "gap" || type === "claimed")).toEqual([])
        const rows = yield* postgres.query(
          "select count(*) from wsm_state where key like 'websocketmanager/connections/%'"
        )
        expect(Number(rows)).toBe(all.length)
      }),
    TIMEOUT
  )
})
