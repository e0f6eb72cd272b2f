/**
 * S01–S11 (`src/ports/StateStore.ts`) as tests, against the port alone. An adapter is right when it passes them.
 *
 * Keys are fresh in every test, so that the store behind a harness may be one that lasts.
 */
import { randomUUID } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { StateStore, Version } from "../../src/ports/StateStore.js"

type Store = StateStore["Type"]

export interface StateStoreHarness {
  /** two handles on one store */
  readonly a: Store
  readonly b: Store
  /** the shortest ttl the store keeps to */
  readonly shortestTtl: Duration.Duration
  /** lets time pass, as the store measures it */
  readonly elapse: (duration: Duration.Duration) => Effect.Effect<void>
  /** the largest value, in bytes of UTF-8 */
  readonly maxValueBytes: number
  /** within this every call ends, in real time */
  readonly deadline: Duration.Duration
  /** The store answers no write until the scope closes (reads may go on). Absent: it always answers. */
  readonly stall?: Effect.Effect<void, never, Scope.Scope>
}

export const stateStoreConformance = (
  name: string,
  harness: Effect.Effect<StateStoreHarness, unknown, Scope.Scope>,
  /** live: the adapter needs the real clock */
  options: { readonly live?: boolean } = {}
) => {
  const scoped = options.live === true ? it.scopedLive : it.scoped
  const test = (title: string, body: (harness: StateStoreHarness) => Effect.Effect<void, unknown, Scope.Scope>) =>
    scoped(title, () => Effect.flatMap(harness, body), 30_000)

  describe(`StateStore (${name})`, () => {
    test("S01 a key is absent, then its value with a version; an empty value is a value", ({ a }) =>
      Effect.gen(function* () {
        const key = fresh()
        expect(yield* a.get(key)).toEqual(Option.none())
        const version = yield* a.create(key, "")
        expect(yield* a.get(key)).toMatchObject(Option.some({ value: "", version }))
      }))

    test("S01 a value comes back as it was, character for character", ({ a }) =>
      Effect.gen(function* () {
        for (const value of [
          "ü€😀\u2028",
          "a\u0000b",
          ' {"a": [1.0, null]}\r\n',
          "'); drop table kv; --",
          "true",
          "12"
        ]) {
          const key = fresh()
          yield* a.create(key, value)
          expect(Option.getOrThrow(yield* a.get(key)).value).toBe(value)
        }
      }))

    test("S02 of fifty concurrent creators exactly one succeeds", ({ a, b }) =>
      Effect.gen(function* () {
        const key = fresh()
        const results = yield* Effect.forEach(
          numbers(50),
          (n) => Effect.either((n % 2 === 0 ? a : b).create(key, String(n))),
          { concurrency: "unbounded" }
        )
        const winners = results.flatMap((result, n) => (Either.isRight(result) ? [n] : []))
        expect(winners).toHaveLength(1)
        expect(results.filter(Either.isLeft).every((result) => result.left._tag === "VersionMismatch")).toBe(true)
        expect(Option.getOrThrow(yield* a.get(key)).value).toBe(String(winners[0]))
      }))

    test("S03 replace succeeds at the expected version, gives a new one, and the old one is stale", ({ a }) =>
      Effect.gen(function* () {
        const key = fresh()
        const first = yield* a.create(key, "1")
        const second = yield* a.replace(key, "2", first)
        expect(second).not.toBe(first)
        expect(yield* tagOf(a.replace(key, "3", first))).toBe("VersionMismatch")
        expect(yield* a.get(key)).toMatchObject(Option.some({ value: "2", version: second }))
      }))

    test("S03 replace needs the key to be there", ({ a }) =>
      Effect.gen(function* () {
        const key = fresh()
        expect(yield* tagOf(a.replace(key, "x", yield* a.create(fresh(), "y")))).toBe("VersionMismatch")
        expect(yield* a.get(key)).toEqual(Option.none())
      }))

    test("S03 the same value written again makes the version before it stale", ({ a }) =>
      Effect.gen(function* () {
        const key = fresh()
        const first = yield* a.create(key, "same")
        yield* a.replace(key, "same", first)
        expect(yield* tagOf(a.replace(key, "other", first))).toBe("VersionMismatch")
      }))

    test("S03 a stale version never fits again after the key was removed and made anew, the same value too", ({ a }) =>
      Effect.gen(function* () {
        const key = fresh()
        const stale: Array<Version> = []
        for (let round = 0; round < 5; round++) {
          const created = yield* a.create(key, "v")
          const replaced = yield* a.replace(key, "v", created)
          for (const version of [...stale, created]) {
            expect(yield* tagOf(a.replace(key, "stale", version))).toBe("VersionMismatch")
            expect(yield* tagOf(a.remove(key, version))).toBe("VersionMismatch")
          }
          stale.push(created, replaced)
          yield* a.remove(key, replaced)
          expect(yield* tagOf(a.replace(key, "stale", replaced))).toBe("VersionMismatch")
        }
      }))

    test("S03 a key with a ttl vanishes after it, can be created anew, and the old version stays stale", (h) =>
      Effect.gen(function* () {
        const key = fresh()
        const old = yield* h.a.create(key, "1", { ttl: h.shortestTtl })
        expect(Option.isSome(yield* h.a.get(key))).toBe(true)
        yield* h.elapse(Duration.times(h.shortestTtl, 2))
        expect(yield* h.a.get(key)).toEqual(Option.none())
        expect((yield* h.a.getMany([key])).size).toBe(0)
        expect(yield* tagOf(h.a.replace(key, "2", old))).toBe("VersionMismatch")
        expect(yield* tagOf(h.a.remove(key, old))).toBe("VersionMismatch")
        yield* h.b.create(key, "1")
        expect(yield* tagOf(h.a.replace(key, "2", old))).toBe("VersionMismatch")
      }))

    test("S03 a later write without a ttl lets the key stay", (h) =>
      Effect.gen(function* () {
        const key = fresh()
        const version = yield* h.a.create(key, "1", { ttl: h.shortestTtl })
        yield* h.a.replace(key, "2", version)
        yield* h.elapse(Duration.times(h.shortestTtl, 2))
        expect(Option.getOrThrow(yield* h.a.get(key)).value).toBe("2")
      }))

    test("S03 of concurrent increments by compare-and-set none is lost", ({ a, b }) =>
      Effect.gen(function* () {
        const key = fresh()
        yield* a.create(key, "0")
        const increment = (store: Store): Effect.Effect<void, unknown> =>
          Effect.gen(function* () {
            const { value, version } = Option.getOrThrow(yield* store.get(key))
            yield* store
              .replace(key, String(Number(value) + 1), version)
              .pipe(Effect.catchTag("VersionMismatch", () => increment(store)))
          })
        yield* Effect.forEach(numbers(20), (n) => increment(n % 2 === 0 ? a : b), { concurrency: "unbounded" })
        expect(Option.getOrThrow(yield* b.get(key)).value).toBe("20")
      }))

    test("S04 remove succeeds at the expected version only, and once", ({ a }) =>
      Effect.gen(function* () {
        const key = fresh()
        const first = yield* a.create(key, "1")
        const second = yield* a.replace(key, "2", first)
        expect(yield* tagOf(a.remove(key, first))).toBe("VersionMismatch")
        expect(Option.isSome(yield* a.get(key))).toBe(true)
        yield* a.remove(key, second)
        expect(yield* a.get(key)).toEqual(Option.none())
        expect(yield* tagOf(a.remove(key, second))).toBe("VersionMismatch")
      }))

    test("S05 getMany of 1,200 keys finds those that are there, in any order, and no others", ({ a }) =>
      Effect.gen(function* () {
        const keys = numbers(1200).map(() => fresh())
        const present = keys.filter((_, i) => i % 3 === 0)
        const versions = yield* Effect.forEach(present, (key) => a.create(key, `v ${key}`), { concurrency: 10 })
        const found = yield* a.getMany(keys.toReversed())
        expect([...found.keys()].toSorted()).toEqual(present.toSorted())
        present.forEach((key, i) => expect(found.get(key)).toMatchObject({ value: `v ${key}`, version: versions[i] }))
        expect((yield* a.getMany([])).size).toBe(0)
        expect((yield* a.getMany([present[0]!, present[0]!])).size).toBe(1)
      }))

    test("S05 getMany reads many large values at once", (h) =>
      Effect.gen(function* () {
        const value = "x".repeat(Math.min(h.maxValueBytes, 256 * 1024))
        const keys = numbers(40).map(() => fresh())
        yield* Effect.forEach(keys, (key) => h.a.create(key, value))
        const found = yield* h.a.getMany(keys)
        expect([...found.values()].filter((read) => read.value === value)).toHaveLength(40)
        yield* Effect.forEach(found, ([key, { version }]) => h.a.remove(key, version))
      }))

    test("S06 a reader sees its own writes at once", ({ a }) =>
      Effect.gen(function* () {
        const key = fresh()
        let version = yield* a.create(key, "0")
        for (const n of numbers(50)) {
          version = yield* a.replace(key, String(n), version)
          expect(yield* a.get(key)).toMatchObject(Option.some({ value: String(n), version }))
        }
      }))

    test("S07 a write that failed with nothing changed has not landed, and does not land later", (h) =>
      Effect.gen(function* () {
        const [created, replaced, removed] = [fresh(), fresh(), fresh()]
        const version = yield* h.a.create(replaced, "before")
        const other = yield* h.a.create(removed, "before")
        const writes = Effect.all(
          [h.a.create(created, "after"), h.a.replace(replaced, "after", version), h.a.remove(removed, other)].map((w) =>
            Effect.either<unknown, { readonly _tag: string }, never>(w)
          ),
          { concurrency: "unbounded" }
        )
        const results = yield* Effect.scoped(Effect.zipRight(h.stall ?? Effect.void, writes))
        yield* h.a.ping
        const now = yield* h.b.getMany([created, replaced, removed])
        const landed = [now.has(created), now.get(replaced)?.value === "after", !now.has(removed)]
        results.forEach((result, i) => {
          if (Either.isRight(result)) return expect(landed[i]).toBe(true)
          expect(result.left._tag).toBe("StateStoreUnavailable")
          if ("outcome" in result.left && result.left.outcome === "unknown") return
          expect(landed[i]).toBe(false)
        })
        if (h.stall !== undefined) expect(results.every(Either.isLeft)).toBe(true)
      }))

    test("S08 keys that differ are different", ({ a }) =>
      Effect.gen(function* () {
        const root = fresh()
        const keys = [
          "a/b|a//b|a/b/|/a/b|a:b|a+b|a b|a%20b|a%2Fb|a%2fb|A/b|a,b|a\\b|a?b|a#b|a'b|a\"b|a_b|a*b|a.b|..|a\tb| ab|ab ".split(
            "|"
          ),
          ["a||b", "ä", "a\u0308", "x".repeat(199), "x".repeat(200), `${"x".repeat(199)}y`]
        ]
          .flat()
          .map((key) => `${root}/${key}`)
        yield* Effect.forEach(keys, (key, i) => a.create(key, String(i)), { discard: true })
        const found = yield* a.getMany(keys)
        expect(keys.map((key) => found.get(key)?.value)).toEqual(keys.map((_, i) => String(i)))
        const singly = yield* Effect.forEach(keys, (key) => a.get(key))
        expect(singly.map((read) => Option.getOrThrow(read).value)).toEqual(keys.map((_, i) => String(i)))
      }))

    test("S09 every call ends by its deadline, whether the store answers or not", (h) =>
      Effect.gen(function* () {
        const key = fresh()
        const version = yield* h.a.create(key, "1")
        if (h.stall !== undefined) yield* h.stall
        const began = performance.now()
        const tags = yield* Effect.all(
          {
            get: tagOf(h.a.get(key)),
            getMany: tagOf(h.a.getMany([key, fresh()])),
            create: tagOf(h.a.create(fresh(), "1")),
            replace: tagOf(h.a.replace(key, "2", version)),
            remove: tagOf(h.a.remove(fresh(), version)),
            ping: tagOf(h.a.ping)
          },
          { concurrency: "unbounded" }
        )
        expect(performance.now() - began).toBeLessThan(Duration.toMillis(h.deadline))
        const writes = h.stall === undefined ? ["ok", "ok", "VersionMismatch"] : Array(3).fill("StateStoreUnavailable")
        expect([tags.create, tags.replace, tags.remove]).toEqual(writes)
        for (const tag of [tags.get, tags.getMany, tags.ping]) expect(["ok", "StateStoreUnavailable"]).toContain(tag)
      }))

    test("S09 a call that waits can be interrupted, and then changes nothing", (h) =>
      Effect.gen(function* () {
        const key = fresh()
        yield* Effect.scoped(
          Effect.gen(function* () {
            if (h.stall !== undefined) yield* h.stall
            const fiber = yield* Effect.fork(h.a.create(key, "late"))
            yield* Effect.yieldNow()
            const began = performance.now()
            yield* Fiber.interrupt(fiber)
            expect(performance.now() - began).toBeLessThan(Duration.toMillis(h.deadline) / 2)
          })
        )
        if (h.stall !== undefined) expect(yield* h.b.get(key)).toEqual(Option.none())
      }))

    test("S10 a value of the limit is taken, one over it is refused by name and nothing is written", (h) =>
      Effect.gen(function* () {
        const key = fresh()
        // two bytes a character: the limit is one of bytes
        const largest = "ü".repeat(h.maxValueBytes / 2)
        const version = yield* h.a.create(key, largest)
        const refusal = yield* Effect.flip(h.a.replace(key, `${largest}x`, version))
        expect(refusal).toMatchObject({ _tag: "ValueTooLarge", key, limit: h.maxValueBytes })
        expect(yield* h.a.get(key)).toMatchObject(Option.some({ value: largest, version }))
        const other = fresh()
        expect(yield* tagOf(h.a.create(other, `${largest}x`))).toBe("ValueTooLarge")
        expect(yield* h.a.get(other)).toEqual(Option.none())
        yield* h.a.remove(key, version)
      }))

    test("S11 two handles on one store see the same data, and each other's versions", ({ a, b }) =>
      Effect.gen(function* () {
        const key = fresh()
        const first = yield* a.create(key, "a")
        expect(yield* b.get(key)).toMatchObject(Option.some({ value: "a", version: first }))
        expect(yield* tagOf(b.create(key, "b"))).toBe("VersionMismatch")
        const second = yield* b.replace(key, "b", first)
        expect(yield* tagOf(a.replace(key, "a", first))).toBe("VersionMismatch")
        expect(yield* a.get(key)).toMatchObject(Option.some({ value: "b", version: second }))
        yield* a.remove(key, second)
        expect(yield* b.get(key)).toEqual(Option.none())
      }))
  })
}

const fresh = () => `test/${randomUUID()}`
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

/** "ok", or the tag of the failure. */
const tagOf = <A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>): Effect.Effect<string> =>
  Effect.match(effect, { onFailure: (error) => error._tag, onSuccess: () => "ok" })
