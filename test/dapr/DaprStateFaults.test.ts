/** What becomes of calls when the store, the sidecar or the way between them fails. */
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Version } from "../../src/ports/StateStore.js"
import { requiring } from "../support/Requirements.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { handle, type Store, STORES } from "./stateStores.js"

const DEADLINE = Duration.seconds(2)
/** a loaded machine is late */
const SLACK_MS = 1_500

type Outcome = "ok" | "mismatch" | "too large" | "unavailable" | "unknown"

const outcomeOf = (call: Effect.Effect<unknown, { readonly _tag: string }>): Effect.Effect<Outcome> =>
  Effect.map(Effect.either(call), (result) => {
    if (Either.isRight(result)) return "ok"
    const { left } = result
    if (left._tag === "VersionMismatch") return "mismatch"
    if (left._tag !== "StateStoreUnavailable") return "too large"
    return "outcome" in left && left.outcome === "unknown" ? "unknown" : "unavailable"
  })

const value = (n: number | string) => JSON.stringify({ v: 1, n, nonce: crypto.randomUUID() })

/** Everything the port offers, at once: what came out of each, and how long the slowest took. */
const allCalls = (store: Store, key: string) =>
  Effect.gen(function* () {
    const version = Option.getOrThrow(yield* store.get(key)).version
    return Effect.gen(function* () {
      const began = performance.now()
      const outcomes = yield* Effect.all(
        {
          get: outcomeOf(store.get(key)),
          getMany: outcomeOf(store.getMany([key, "other"])),
          ping: outcomeOf(store.ping),
          create: outcomeOf(store.create(`new/${key}`, value("created"))),
          replace: outcomeOf(store.replace(key, value("replaced"), version)),
          remove: outcomeOf(store.remove(key, version))
        },
        { concurrency: "unbounded" }
      )
      return { outcomes, ms: performance.now() - began }
    })
  })

/** Nobody may say that a race was lost, and nobody may say that all went well. */
const expectUnavailable = ({ create, get, getMany, ping, remove, replace }: Record<string, Outcome>) => {
  expect([get, getMany, ping]).toEqual(["unavailable", "unavailable", "unavailable"])
  for (const write of [create, replace, remove]) expect(["unavailable", "unknown"]).toContain(write)
}

/** Until it works again. */
const works = (store: Store) =>
  Effect.retry(store.ping, Schedule.spaced("100 millis").pipe(Schedule.upTo("20 seconds")))

for (const name of ["redis", "postgresql"] as const) {
  requiring("daprd", ...STORES[name].tools)(`the store is away (${name})`, () => {
    it.scopedLive(
      "killed: every call says so before its deadline; started again: it works, and what stood there stands",
      () =>
        Effect.gen(function* () {
          const { backend, sidecars } = yield* STORES[name].start
          const store = yield* handle(sidecars[0], { deadline: DEADLINE })
          const before = value("before")
          yield* store.create("k", before)
          const calls = yield* allCalls(store, "k")
          yield* backend!.kill
          const { ms, outcomes } = yield* calls
          expectUnavailable(outcomes)
          expect(ms).toBeLessThan(Duration.toMillis(DEADLINE) + SLACK_MS)
          yield* backend!.start
          yield* works(store)
          expect(Option.getOrThrow(yield* store.get("k")).value).toBe(before)
          const { version } = Option.getOrThrow(yield* store.get("k"))
          yield* store.replace("k", value("after"), version)
        })
    )

    it.scopedLive(
      "frozen: every call ends by its deadline; thawed: what was unknown has happened or not, nothing else has",
      () =>
        Effect.gen(function* () {
          const { backend, sidecars } = yield* STORES[name].start
          const store = yield* handle(sidecars[0], { deadline: DEADLINE })
          const before = value("before")
          const after = value("after")
          const keys = Array.from({ length: 8 }, (_, n) => `${["created", "replaced", "removed"][n % 3]}/${n}`)
          const versions = new Map<string, Version>()
          for (const key of keys) if (!key.startsWith("created")) versions.set(key, yield* store.create(key, before))
          // so that their etags are known, and the writes themselves are the next to be sent
          yield* store.getMany(keys)
          yield* backend!.pause
          const began = performance.now()
          const outcomes = yield* Effect.forEach(
            keys,
            (key) => {
              const version = versions.get(key)
              if (version === undefined) return outcomeOf(store.create(key, after))
              return outcomeOf(
                key.startsWith("removed") ? store.remove(key, version) : store.replace(key, after, version)
              )
            },
            { concurrency: "unbounded" }
          )
          expect(performance.now() - began).toBeLessThan(Duration.toMillis(DEADLINE) + SLACK_MS)
          for (const outcome of outcomes) expect(["unavailable", "unknown"]).toContain(outcome)
          expect(outcomes).toContain("unknown")
          yield* backend!.resume
          yield* works(store)
          // what was on its way arrives within this time
          yield* Effect.gen(function* () {
            const found = yield* store.getMany(keys)
            for (const [i, key] of keys.entries()) {
              const was = versions.has(key) ? before : undefined
              const meant = key.startsWith("removed") ? undefined : after
              expect({ key, outcome: outcomes[i], allowed: outcomes[i] === "unknown" ? [was, meant] : [was] }).toEqual({
                key,
                outcome: outcomes[i],
                allowed: expect.arrayContaining([found.get(key)?.value])
              })
            }
          }).pipe(Effect.repeat(Schedule.spaced("100 millis").pipe(Schedule.upTo("2 seconds"))))
        })
    )
  })
}

requiring("daprd", ...STORES.postgresql.tools)("PostgreSQL stopped under reads of many keys", () => {
  it.scopedLive("no key is told to be absent: a read has all of them, or fails", () =>
    Effect.gen(function* () {
      const { backend, sidecars } = yield* STORES.postgresql.start
      const store = yield* handle(sidecars[0], { deadline: DEADLINE })
      const keys = Array.from({ length: 60 }, (_, n) => `k${n}`)
      yield* Effect.forEach(keys, (key) => store.create(key, value(key)), { concurrency: 8, discard: true })
      const seen = new Set<number>()
      let reads = 0
      const reading = yield* Effect.forkScoped(
        Effect.forever(
          Effect.forEach(
            [1, 2, 3, 4],
            () =>
              Effect.map(Effect.option(store.getMany(keys)), (found) => {
                reads++
                if (Option.isSome(found)) seen.add(found.value.size)
              }),
            { concurrency: "unbounded", discard: true }
          )
        )
      )
      for (let round = 0; round < 6; round++) {
        const before = reads
        yield* Effect.retry(
          Effect.suspend(() => (reads > before + 8 ? Effect.void : Effect.fail("not yet"))),
          Schedule.spaced("10 millis")
        )
        yield* backend!.stop
        yield* backend!.start
        yield* works(store)
      }
      yield* Fiber.interrupt(reading)
      expect([...seen]).toEqual([keys.length])
    })
  )
})

for (const name of ["sqlite", "redis"] as const) {
  requiring("daprd", ...STORES[name].tools)(`the sidecar is away (${name})`, () => {
    it.scopedLive("killed under sixty writes in flight: none of them is told that it lost a race", () =>
      Effect.gen(function* () {
        const { sidecars } = yield* STORES[name].start
        const store = yield* handle(sidecars[0], { deadline: Duration.seconds(10) })
        const keys = Array.from({ length: 60 }, (_, n) => `k${n}`)
        const written = new Map<string, Array<string>>()
        // Before the writing: who writes on and on would starve who has not begun yet.
        const created = yield* Effect.forEach(keys, (key) => store.create(key, value(0)))
        const write = (key: string, index: number) =>
          Effect.gen(function* () {
            let version = created[index]!
            for (let n = 1; ; n++) {
              const next = value(n)
              written.set(key, [...(written.get(key) ?? []), next])
              version = yield* store.replace(key, next, version)
            }
          })
        const fiber = yield* Effect.fork(
          Effect.forEach(keys, (key, index) => outcomeOf(write(key, index)), { concurrency: "unbounded" })
        )
        yield* Effect.retry(
          Effect.suspend(() => (written.size === keys.length ? Effect.void : Effect.fail("not yet"))),
          Schedule.spaced("20 millis")
        )
        yield* sidecars[0].kill
        const outcomes = yield* Fiber.join(fiber)
        expect(outcomes.filter((outcome) => outcome !== "unavailable" && outcome !== "unknown")).toEqual([])
        yield* sidecars[0].start
        // what stands there is one of the last two that were sent
        const found = yield* store.getMany(keys)
        for (const key of keys) {
          const sent = written.get(key)!
          if (sent.length > 1) expect(sent.slice(-2)).toContain(found.get(key)?.value)
        }
      })
    )
  })
}

requiring("daprd")("the sidecar is away", () => {
  it.scopedLive("killed: nothing was changed, and it is said so; started again: the first call works", () =>
    Effect.gen(function* () {
      const { sidecars } = yield* STORES.sqlite.start
      const store = yield* handle(sidecars[0], { deadline: DEADLINE })
      yield* store.create("k", value("before"))
      const calls = yield* allCalls(store, "k")
      yield* sidecars[0].kill
      // until the connection's end has come here, a write may still be sent into it
      yield* Effect.flip(store.get("k")).pipe(
        Effect.repeat({ until: ({ message }) => message.includes("no Dapr sidecar listens") })
      )
      const { ms, outcomes } = yield* calls
      expect(Object.values(outcomes)).toEqual(Array(6).fill("unavailable"))
      expect(ms).toBeLessThan(SLACK_MS)
      expect((yield* Effect.flip(store.get("k"))).message).toContain("no Dapr sidecar listens")
      yield* sidecars[0].start
      expect(Option.getOrThrow(yield* store.get("k")).value).toContain("before")
    })
  )

  it.scopedLive("killed and started between two calls: neither a read nor a write notices", () =>
    Effect.gen(function* () {
      const { sidecars } = yield* STORES.sqlite.start
      const store = yield* handle(sidecars[0], { deadline: DEADLINE })
      const version = yield* store.create("k", value(1))
      yield* sidecars[0].kill
      yield* sidecars[0].start
      const second = value(2)
      yield* store.replace("k", second, version)
      yield* sidecars[0].kill
      yield* sidecars[0].start
      yield* store.create("another", value(3))
      yield* sidecars[0].kill
      yield* sidecars[0].start
      expect(Option.getOrThrow(yield* store.get("k")).value).toBe(second)
    })
  )

  it.scopedLive("frozen, or accepting and never answering: every call ends by its deadline, and later ones work", () =>
    Effect.gen(function* () {
      const { sidecars } = yield* STORES.sqlite.start
      const proxy = yield* StallingProxy.start(sidecars[0].grpcPort)
      const store = yield* handle(sidecars[0], { deadline: DEADLINE, grpcPort: proxy.port })
      yield* store.create("k", value("before"))
      for (const [stop, go] of [
        [sidecars[0].pause, sidecars[0].resume],
        [proxy.stall, proxy.resume],
        [Effect.zipRight(proxy.stall, proxy.cut), proxy.resume]
      ] as const) {
        // a frozen sidecar may do it all when it thaws
        const key = `k/${Math.random()}`
        yield* store.create(key, value("before"))
        const calls = yield* allCalls(store, key)
        yield* stop
        const { ms, outcomes } = yield* calls
        yield* go
        expectUnavailable(outcomes)
        expect(ms).toBeLessThan(Duration.toMillis(DEADLINE) + SLACK_MS)
        yield* works(store)
      }
    })
  )
})

for (const name of ["sqlite", "redis"] as const) {
  requiring("daprd", ...STORES[name].tools)(`answers are lost (${name})`, () => {
    it.scopedLive("a write that landed while its answer was lost is found again, and succeeds", () =>
      Effect.gen(function* () {
        const { sidecars } = yield* STORES[name].start
        const proxy = yield* StallingProxy.start(sidecars[0].grpcPort)
        const store = yield* handle(sidecars[0], { deadline: Duration.seconds(8), grpcPort: proxy.port })
        const other = yield* handle(sidecars[1])
        const next = value("next")
        const held = yield* store.create("replaced", value("before"))
        const gone = yield* store.create("removed", value("before"))
        // so that their etags are known, and the writes themselves are the next to be sent
        yield* store.getMany(["replaced", "removed"])
        yield* proxy.withhold
        const fiber = yield* Effect.fork(
          Effect.all(
            [
              store.create("created", value("created")),
              store.create("plain", "a plain text"),
              store.replace("replaced", next, held),
              store.remove("removed", gone)
            ],
            { concurrency: "unbounded" }
          )
        )
        const landed = Effect.gen(function* () {
          const found = yield* other.getMany(["created", "plain", "replaced", "removed"])
          if (found.size !== 3 || found.get("replaced")?.value !== next) return yield* Effect.fail("not yet")
        })
        yield* Effect.retry(landed, Schedule.spaced("20 millis").pipe(Schedule.upTo("5 seconds")))
        yield* proxy.cut
        yield* proxy.resume
        const [created, plain, replaced] = yield* Fiber.join(fiber)
        // and their versions are those that readers see
        const found = yield* other.getMany(["created", "plain", "replaced"])
        expect(["created", "plain", "replaced"].map((key) => found.get(key)?.version)).toEqual([
          created,
          plain,
          replaced
        ])
        yield* store.replace("replaced", value("later"), replaced)
      })
    )

    it.scopedLive(
      "a write of which nobody knows says so, and neither that it was lost nor that nothing was changed",
      () =>
        Effect.gen(function* () {
          const { sidecars } = yield* STORES[name].start
          const proxy = yield* StallingProxy.start(sidecars[0].grpcPort)
          const store = yield* handle(sidecars[0], { deadline: DEADLINE, grpcPort: proxy.port })
          const held = yield* store.create("replaced", value("before"))
          yield* proxy.withhold
          const outcomes = yield* Effect.all(
            [
              outcomeOf(store.create("created", value("created"))),
              // read first where its etag is no longer believed, and then nothing was sent
              outcomeOf(store.replace("replaced", value("after"), held))
            ],
            { concurrency: "unbounded" }
          )
          expect(outcomes[0]).toBe("unknown")
          expect(["unknown", "unavailable"]).toContain(outcomes[1])
        })
    )
  })
}
