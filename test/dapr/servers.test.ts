/** The servers beside a sidecar: each starts, answers, stops, comes back as told, and leaves nothing behind. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { requiring } from "../support/Requirements.js"
import { startNats } from "../support/Nats.js"
import { startPostgres } from "../support/Postgres.js"
import { startRedis } from "../support/Redis.js"
import { Resp } from "../support/Resp.mjs"
import { StallingProxy } from "../support/StallingProxy.js"
import { natsRequest } from "../support/natsRequest.js"

requiring("redis")("Redis", () => {
  it.scopedLive("answers, refuses to evict, and comes back empty on the same port", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      yield* redis.command("SET", "key", "value")
      expect(String(yield* redis.command("GET", "key"))).toBe("value")
      expect(String(yield* redis.command("CONFIG", "GET", "maxmemory-policy"))).toContain("noeviction")
      yield* redis.stop
      expect(redis.pid()).toBeUndefined()
      yield* redis.start
      expect(yield* redis.command("GET", "key")).toBeNull()
    })
  )

  it.scopedLive("keeps what it holds when it is told to, also when it is killed", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis({ persistent: true })
      yield* redis.command("SET", "key", "value")
      yield* redis.kill
      yield* redis.start
      expect(String(yield* redis.command("GET", "key"))).toBe("value")
    })
  )

  it.scopedLive("says why it did not start", () =>
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(startRedis({ args: ["--no-such-thing", "1"] }))
      expect(message).toMatch(/redis ended at its start with 1; its log is \/.*redis\.log/)
      expect(message).toContain("no-such-thing")
    })
  )
})

requiring("postgres")("PostgreSQL", () => {
  it.scopedLive("answers, and keeps what it holds when it is stopped and when it is killed", () =>
    Effect.gen(function* () {
      const postgres = yield* startPostgres
      yield* postgres.query("create table t (v int); insert into t values (41)")
      yield* postgres.stop
      yield* postgres.start
      yield* postgres.query("update t set v = v + 1")
      yield* postgres.kill
      yield* postgres.start
      expect(yield* postgres.query("select v from t")).toBe("42")
    })
  )
})

requiring("nats")("NATS JetStream", () => {
  it.scopedLive("has the stream, and keeps it when it is killed", () =>
    Effect.gen(function* () {
      const nats = yield* startNats()
      const ack = yield* Effect.promise(() => natsRequest(nats.port, "orders", { n: 1 }))
      expect(ack).toMatchObject({ stream: nats.stream, seq: 1 })
      yield* nats.kill
      yield* nats.start
      expect((yield* nats.messages("orders")).map(String)).toEqual(['{"n":1}'])
      expect(yield* nats.messages("others")).toEqual([])
    })
  )
})

requiring("redis")("A stalling proxy before Redis", () => {
  const answered = (reply: Promise<unknown>, millis = 200) =>
    Promise.race([
      reply.then(String, (error: Error) => error.message),
      new Promise((resolve) => setTimeout(resolve, millis, "nothing"))
    ])

  it.scopedLive("forwards, keeps what is sent during a stall until it resumes, on old and new connections", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      const proxy = yield* StallingProxy.start(redis.port)
      const old = yield* Effect.promise(() => Resp.connect(proxy.port))
      expect(yield* Effect.promise(() => answered(old.command("INCR", "n")))).toBe("1")
      yield* proxy.stall
      const young = yield* Effect.promise(() => Resp.connect(proxy.port))
      const replies = [old.command("INCR", "n"), young.command("INCR", "n")]
      for (const reply of replies) expect(yield* Effect.promise(() => answered(reply))).toBe("nothing")
      expect(String(yield* redis.command("GET", "n"))).toBe("1")
      yield* proxy.resume
      expect((yield* Effect.promise(() => Promise.all(replies))).toSorted()).toEqual([2, 3])
      expect(proxy.accepted).toBe(2)
      for (const client of [old, young]) client.close()
    })
  )

  it.scopedLive("withholds the answer to what was done, and cuts", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      const proxy = yield* StallingProxy.start(redis.port)
      const client = yield* Effect.promise(() => Resp.connect(proxy.port))
      yield* proxy.withhold
      const reply = client.command("SET", "key", "value")
      expect(yield* Effect.promise(() => answered(reply))).toBe("nothing")
      expect(String(yield* redis.command("GET", "key"))).toBe("value")
      yield* proxy.cut
      expect(yield* Effect.promise(() => answered(reply, 5000))).toMatch(/closed/)
    })
  )

  it.scopedLive("refuses until it resumes on the same port", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      const proxy = yield* StallingProxy.start(redis.port)
      yield* proxy.refuse
      expect(yield* Effect.promise(() => answered(Resp.once(proxy.port, "PING"), 5000))).toMatch(/ECONNREFUSED/)
      yield* proxy.resume
      expect(yield* Effect.promise(() => Resp.once(proxy.port, "PING"))).toBe("PONG")
    })
  )
})
