/** Which stores are taken at start, what stands in them, and what each operation costs. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Components from "../support/Components.js"
import { startMemcached } from "../support/Memcached.js"
import { startPostgres } from "../support/Postgres.js"
import { freePort } from "../support/Ports.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { startSidecar } from "../support/Sidecar.js"
import { type HandleOptions, handle, layerOf, STORES } from "./stateStores.js"

const value = (n: number | string) => JSON.stringify({ v: 1, n, nonce: crypto.randomUUID() })

/** Why the start over this component fails. */
const refusal = (component: Components.Resource, options?: HandleOptions) =>
  Effect.gen(function* () {
    const sidecar = yield* startSidecar({ resources: [component] })
    const cause = yield* Effect.flip(Effect.sandbox(Layer.build(layerOf(sidecar, options))))
    return Option.getOrThrow(Cause.failureOption(cause)).message
  })

const TESTED = "state.redis, state.postgresql (version v2), state.sqlite and state.in-memory"

requiring("daprd", "memcached")("a store without etags", () => {
  it.scopedLive("keeps what it is given, tells no version of it, and is refused by a sentence", () =>
    Effect.gen(function* () {
      const component = Components.stateMemcached(yield* startMemcached)
      const sidecar = yield* startSidecar({ resources: [component] })
      const answer = yield* Effect.promise(async () => {
        const body = JSON.stringify([{ key: "k", value: 1 }])
        const headers = { "content-type": "application/json" }
        await fetch(`${sidecar.url}/v1.0/state/wsm-state`, { method: "POST", headers, body })
        const kept = await fetch(`${sidecar.url}/v1.0/state/wsm-state/k`)
        return { text: await kept.text(), etag: kept.headers.get("etag") }
      })
      expect(answer).toEqual({ text: "1", etag: null })
      const message = yield* refusal(component, { allowUntested: true })
      expect(message).toContain("WSM_STATE_STORE=wsm-state")
      expect(message).toContain("state.memcached")
      expect(message).toContain("no versions to compare")
      expect(message).toContain(TESTED)
    })
  )
})

requiring("daprd")("a store that cannot guarantee what is asked is refused, by a sentence", () => {
  it.scopedLive("one that reports a lost race as success, allowed or not", () =>
    Effect.gen(function* () {
      const message = yield* refusal(Components.stateEtcd(yield* freePort), { allowUntested: true })
      expect(message).toContain("state.etcd v2 cannot be used: it reports a lost race as success")
      expect(message).toContain(TESTED)
    })
  )

  it.scopedLive("a name that is not loaded, with those that are", () =>
    Effect.gen(function* () {
      const message = yield* refusal(Components.stateInMemory({ name: "other" }))
      expect(message).toContain("WSM_STATE_STORE=wsm-state")
      expect(message).toContain("other (state.in-memory)")
    })
  )
})

requiring("daprd", "postgres")("a store that nobody has tested", () => {
  const logged = () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel.label} ${String(message)}`))
    return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
  }

  it.scopedLive("is refused, and says how it is taken all the same", () =>
    Effect.gen(function* () {
      const { connectionString } = yield* startPostgres
      const message = yield* refusal(Components.stateYugabyte(connectionString))
      expect(message).toContain("state.yugabytedb v2 is not tested")
      expect(message).toContain("WSM_ALLOW_UNTESTED_STORE=true")
      const v1 = yield* refusal(Components.statePostgresV1(connectionString))
      expect(v1).toContain("set `version: v2` in the component")
    })
  )

  it.scopedLive("works when it is allowed, with a warning; so does postgresql v1", () =>
    Effect.gen(function* () {
      const { connectionString } = yield* startPostgres
      for (const component of [
        Components.stateYugabyte(connectionString),
        Components.statePostgresV1(connectionString)
      ]) {
        const { layer, lines } = logged()
        const sidecar = yield* startSidecar({ resources: [component] })
        const store = yield* handle(sidecar, { allowUntested: true }).pipe(Effect.provide(layer))
        expect(lines.filter((line) => line.startsWith("WARN") && line.includes("not tested"))).toHaveLength(1)
        const version = yield* store.create("k", value(1))
        const next = yield* store.replace("k", value(2), version)
        expect((yield* Effect.flip(store.replace("k", value(3), version)))._tag).toBe("VersionMismatch")
        yield* store.remove("k", next)
        expect(yield* store.get("k")).toEqual(Option.none())
      }
    })
  )
})

requiring("daprd", "redis")("what stands in Redis", () => {
  const start = Effect.gen(function* () {
    const redis = yield* startRedis()
    const sidecar = yield* startSidecar({ resources: [Components.stateRedis(redis.port)] })
    const field = (key: string, name: string) => Effect.map(redis.command("HGET", key, name), String)
    return { redis, sidecar, field, store: yield* handle(sidecar) }
  })

  it.scopedLive("a value with a nonce of its own stands there byte for byte, and lasts as long as was last said", () =>
    Effect.gen(function* () {
      const { field, redis, store } = yield* start
      const text = '{"v":1, "z":"ü<&>", "a":9007199254740993, "nonce":"n"}'
      const version = yield* store.create("k", text, { ttl: Duration.minutes(5) })
      expect(yield* field("k", "data")).toBe(text)
      expect(Number(yield* redis.command("TTL", "k"))).toBeGreaterThan(250)
      yield* store.replace("k", value(2), version)
      expect(yield* redis.command("TTL", "k")).toBe(-1)
    })
  )

  it.scopedLive("a removed key keeps a tombstone for an hour, which nobody sees; a key can be created over it", () =>
    Effect.gen(function* () {
      const { field, redis, store } = yield* start
      const first = yield* store.create("k", value(1))
      yield* store.remove("k", first)
      expect(yield* field("k", "data")).toContain('"removed":true')
      expect(Number(yield* redis.command("TTL", "k"))).toBeGreaterThan(3500)
      expect(yield* store.get("k")).toEqual(Option.none())
      expect((yield* store.getMany(["k"])).size).toBe(0)
      const second = yield* store.create("k", value(2))
      // the counter went on, so the first version's etag never comes back
      expect(yield* field("k", "version")).toBe("3")
      expect(yield* redis.command("TTL", "k")).toBe(-1)
      expect((yield* Effect.flip(store.replace("k", value(3), first)))._tag).toBe("VersionMismatch")
      yield* store.replace("k", value(4), second)
    })
  )

  it.scopedLive("of many that create over a tombstone exactly one succeeds", () =>
    Effect.gen(function* () {
      const { sidecar, store } = yield* start
      const other = yield* handle(sidecar)
      for (let round = 0; round < 5; round++) {
        const results = yield* Effect.all(
          Array.from({ length: 16 }, (_, n) => Effect.either((n % 2 === 0 ? store : other).create("k", value(n)))),
          { concurrency: "unbounded" }
        )
        const winners = results.filter((result) => result._tag === "Right")
        expect(winners).toHaveLength(1)
        yield* store.remove("k", winners[0]!.right)
      }
    })
  )

  it.scopedLive("an etag that comes back with another value does not fit", () =>
    Effect.gen(function* () {
      const { field, redis, store } = yield* start
      const held = yield* store.create("k", value("old"))
      yield* redis.command("DEL", "k")
      const text = value("new")
      // as another instance would, which this handle knows nothing of
      yield* redis.command("HSET", "k", "data", text, "version", "1")
      // as long as an etag is believed
      yield* Effect.sleep("1 second")
      expect((yield* Effect.flip(store.replace("k", value("stale"), held)))._tag).toBe("VersionMismatch")
      expect(yield* field("k", "data")).toBe(text)
    })
  )

  it.scopedLive("a key that vanished is not made anew by a replace, however fresh its version is", () =>
    Effect.gen(function* () {
      const { redis, store } = yield* start
      let version = yield* store.create("k", value(0))
      version = yield* store.replace("k", value(1), version)
      // as when it came back empty
      yield* redis.command("FLUSHALL")
      expect((yield* Effect.flip(store.replace("k", value(2), version)))._tag).toBe("VersionMismatch")
      expect(yield* store.get("k")).toEqual(Option.none())
      expect((yield* store.getMany(["k"])).size).toBe(0)
      yield* store.create("k", value(3))
    })
  )
})

requiring("daprd", "redis")("Redis comes back empty under a write whose answer is lost", () => {
  it.scopedLive("whoever reads it finds it gone, not made anew", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      const sidecar = yield* startSidecar({ resources: [Components.stateRedis(redis.port)] })
      const proxy = yield* StallingProxy.start(sidecar.grpcPort)
      const store = yield* handle(sidecar, { grpcPort: proxy.port })
      const version = yield* store.replace("k", value(1), yield* store.create("k", value(0)))
      yield* redis.command("FLUSHALL")
      yield* proxy.withhold
      const fiber = yield* Effect.fork(Effect.flip(store.replace("k", value(2), version)))
      const landed = Effect.flatMap(redis.command("EXISTS", "k"), (n) =>
        n === 1 ? Effect.void : Effect.fail("not yet")
      )
      yield* Effect.retry(landed, Schedule.spaced("10 millis").pipe(Schedule.upTo("5 seconds")))
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "StateStoreUnavailable", outcome: "unknown" })
      yield* proxy.cut
      yield* proxy.resume
      expect((yield* store.getMany(["k"])).size).toBe(0)
      expect(yield* store.get("k")).toEqual(Option.none())
      yield* store.create("k", value(3))
    })
  )
})

describe("what it costs, as the sidecar counts", () => {
  for (const [name, { start, tools }] of Object.entries(STORES)) {
    requiring("daprd", ...tools)(name, () => {
      it.scopedLive("a connect is three writes and at most four reads, a heartbeat one write", () =>
        Effect.gen(function* () {
          const { sidecars } = yield* start
          const store = yield* handle(sidecars[0])
          const counts = Effect.gen(function* () {
            const count = (operation: string) => sidecars[0].metric("dapr_component_state_count", { operation })
            const [get, bulk, set] = yield* Effect.all([count("get"), count("bulk_get"), count("set")])
            return { reads: get + bulk, writes: set }
          })
          const during = <A, E>(effect: Effect.Effect<A, E>) =>
            Effect.gen(function* () {
              const before = yield* counts
              yield* effect
              const after = yield* counts
              return { reads: after.reads - before.reads, writes: after.writes - before.writes }
            })

          let page = yield* store.create("page", value(0))
          let beat = yield* store.create("beat", value(0))
          // long ago, as far as etags are believed anywhere
          yield* Effect.sleep("1 second")
          const connect = yield* during(
            Effect.gen(function* () {
              page = yield* store.replace("page", value(1), page)
              const record = yield* store.create("record", value(1))
              yield* Effect.sleep("1 second")
              yield* store.replace("record", value(2), record)
            })
          )
          expect(connect.writes).toBe(3)
          expect(connect.reads).toBeGreaterThan(0)
          expect(connect.reads).toBeLessThanOrEqual(4)
          // all heartbeats are read once an interval, one's own among them
          const heartbeat = yield* during(
            Effect.gen(function* () {
              yield* store.getMany(["beat", "another"])
              beat = yield* store.replace("beat", value(1), beat)
            })
          )
          expect(heartbeat.writes).toBe(1)
        })
      )
    })
  }
})
