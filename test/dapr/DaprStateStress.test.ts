/** Sixteen workers on one key, through two sidecars where there are two: no version is ever used up twice. */
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { WriteOptions } from "../../src/ports/StateStore.js"
import { requiring } from "../support/Requirements.js"
import { handle, type Store, STORES } from "./stateStores.js"

const WORKERS = 16
const SUCCESSES = 40
const LONGEST_MS = 20_000

interface Tally {
  /** of each value that was written with success: how often a success replaced or removed it */
  readonly used: Map<string, number>
  created: number
  removed: number
  lost: number
  other: Array<string>
}

/** Reads, dawdles, and writes at what it has read: the value says which write it was. */
const worker = (store: Store, key: string, n: number, tally: Tally, options: () => WriteOptions) =>
  Effect.gen(function* () {
    const until = performance.now() + LONGEST_MS
    for (let i = 0; performance.now() < until && tally.used.size < SUCCESSES; i++) {
      const read = yield* store.get(key)
      // some hold their version while others remove the key and make it anew
      if (Math.random() < 0.3) yield* Effect.sleep(Math.random() * 60)
      const mine = `${n}.${i}`
      // every other value carries its nonce itself, as the manager's do
      const value = i % 2 === 0 ? mine : JSON.stringify({ nonce: mine })
      const removes = Math.random() < 0.3
      const write: Effect.Effect<unknown, { readonly _tag: string; readonly message: string }> = Option.isNone(read)
        ? store.create(key, value, options())
        : removes
          ? store.remove(key, read.value.version)
          : store.replace(key, value, read.value.version, options())
      const result = yield* Effect.either(write)
      if (Either.isLeft(result)) {
        if (result.left._tag === "VersionMismatch") tally.lost++
        else tally.other.push(result.left.message)
        continue
      }
      if (Option.isNone(read)) tally.created++
      else tally.used.set(read.value.value, (tally.used.get(read.value.value) ?? 0) + 1)
      if (Option.isSome(read) && removes) tally.removed++
    }
  })

const run = (name: keyof typeof STORES, options: () => WriteOptions, keys: ReadonlyArray<string> = ["contended"]) =>
  Effect.gen(function* () {
    const { sidecars } = yield* STORES[name].start
    const stores = yield* Effect.all([handle(sidecars[0]), handle(sidecars[1])])
    const tally: Tally = { used: new Map(), created: 0, removed: 0, lost: 0, other: [] }
    const key = (n: number) => keys[Math.floor(n / 2) % keys.length]!
    const workers = Array.from({ length: WORKERS }, (_, n) => worker(stores[n % 2]!, key(n), n, tally, options))
    yield* Effect.all(workers, { concurrency: "unbounded" })
    const twice = [...tally.used].filter(([, times]) => times > 1)
    expect(tally.other).toEqual([])
    expect(tally.used.size).toBeGreaterThan(10)
    expect(tally.lost).toBeGreaterThan(30)
    const found = yield* Effect.forEach(keys, stores[0].get)
    return { ...tally, twice, there: found.filter(Option.isSome).length }
  })

for (const name of Object.keys(STORES) as Array<keyof typeof STORES>) {
  requiring("daprd", ...STORES[name].tools)(`sixteen workers on one key (${name})`, () => {
    it.scopedLive("each version is replaced or removed by one of them, and a removed key is created by one", () =>
      Effect.gen(function* () {
        const { created, removed, there, twice } = yield* run(name, () => ({}))
        expect(twice).toEqual([])
        expect(removed).toBeGreaterThan(2)
        expect(created - removed).toBe(there)
      })
    )
  })
}

/** Their writes meet in one request, of which some land and some are lost. */
requiring("daprd", "redis")("sixteen workers on four keys (redis)", () => {
  it.scopedLive("each version is replaced or removed by one of them, and a removed key is created by one", () =>
    Effect.gen(function* () {
      const { created, removed, there, twice } = yield* run("redis", () => ({}), ["a", "b", "c", "d"])
      expect(twice).toEqual([])
      expect(created - removed).toBe(there)
    })
  )
})

requiring("daprd", "redis")("sixteen workers on one key that keeps expiring (redis)", () => {
  it.scopedLive("each version is replaced or removed by one of them", () =>
    Effect.gen(function* () {
      const { twice } = yield* run("redis", () => (Math.random() < 0.5 ? { ttl: Duration.seconds(1) } : {}))
      expect(twice).toEqual([])
    })
  )
})
