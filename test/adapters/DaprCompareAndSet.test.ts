/** What a write comes to that was one of several in a request: whatever the answer was, it is to be read. */
import { expect } from "vitest"
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CallFailed } from "../../src/adapters/dapr/sidecar/GrpcConnection.js"
import { put, remove, type Store } from "../../src/adapters/dapr/state/CompareAndSet.js"
import { EtagCache } from "../../src/adapters/dapr/state/EtagCache.js"
import type { Item, Write, WriteOutcome } from "../../src/adapters/dapr/state/StateClient.js"
import { judge } from "../../src/adapters/dapr/state/StoreDialect.js"
import * as StoredText from "../../src/adapters/dapr/state/StoredText.js"

const KEY = "k"
const text = (nonce: string) => StoredText.encode(JSON.stringify({ nonce }))
const OLD = text("the one before")
const MINE = text("mine")
const THEIRS = text("theirs")
const REMOVED = StoredText.tombstone()

const together = (message: string): WriteOutcome => ({
  _tag: "Ambiguous",
  failure: new CallFailed({ kind: "answered", code: 10, message })
})

type Saving = (write: Write, stands: Array<Item>, alone: boolean) => WriteOutcome | CallFailed | void

/** One key; what a write says and does to it is the test's to decide. */
const storeOf = (type: "state.redis" | "state.in-memory", save: Saving) => {
  const judgement = judge({ name: "s", type, version: "v1", capabilities: ["ETAG", "TTL"] })
  if (judgement._tag !== "Tested") throw new Error("it is tested")
  const { dialect } = judgement
  const stands: Array<Item> = []
  const writes: Array<Write & { readonly alone: boolean }> = []
  const get = () => Effect.sync(() => stands.at(-1))
  const store: Store = {
    dialect,
    etags: new EtagCache(dialect.believedFor),
    deadlineMs: 1000,
    reason: ({ message }) => message,
    client: {
      get,
      getAlone: get,
      getBulk: () => Effect.die("not asked for"),
      save: (write, _, alone) =>
        Effect.suspend(() => {
          writes.push({ ...write, alone })
          const saved = save(write, stands, alone) ?? (alone ? { _tag: "Confirmed" as const } : together("it is said"))
          return saved instanceof CallFailed ? saved : Effect.succeed(saved)
        })
    }
  }
  return { store, stands, writes }
}

const replaceOld = (store: Store) =>
  put(store, { key: KEY, text: MINE, expected: StoredText.versionOf(OLD), ttlInSeconds: "-1", urgent: false })
const create = (store: Store) =>
  put(store, { key: KEY, text: MINE, expected: undefined, ttlInSeconds: "-1", urgent: false })
const next = (stands: ReadonlyArray<Item>) => String(Number(stands.at(-1)?.etag ?? 0) + 1)
const lands = ({ text }: Write, stands: Array<Item>) => void stands.push({ text, etag: next(stands) })

for (const type of ["state.redis", "state.in-memory"] as const) {
  describe(`a write among others, ${type}`, () => {
    it.effect("that landed is mine, and costs no second one", () =>
      Effect.gen(function* () {
        const { stands, store, writes } = storeOf(type, lands)
        stands.push({ text: OLD, etag: "7" })
        expect(yield* replaceOld(store)).toBe(StoredText.versionOf(MINE))
        expect(writes).toMatchObject([{ alone: false }])
      })
    )

    it.effect("is lost where another's stands, whatever the answer said", () =>
      Effect.gen(function* () {
        const { stands, store } = storeOf(type, (_, all) => void all.push({ text: THEIRS, etag: "8" }))
        stands.push({ text: OLD, etag: "7" })
        expect((yield* Effect.flip(replaceOld(store)))._tag).toBe("Lost")
      })
    )

    it.effect("leaves it unknown where nothing has changed: whether it may be repeated is the caller's to say", () =>
      Effect.gen(function* () {
        const { stands, store, writes } = storeOf(type, () => {})
        stands.push({ text: OLD, etag: "7" })
        expect(yield* Effect.flip(replaceOld(store))).toMatchObject({ outcome: "unknown", reason: "it is said" })
        expect(writes).toHaveLength(1)
      })
    )

    it.effect("leaves it unknown where the key has vanished since", () =>
      Effect.gen(function* () {
        const { stands, store, writes } = storeOf(type, (_, all) => {
          all.length = 0
          return together("another of them was lost")
        })
        stands.push({ text: OLD, etag: "7" })
        expect(yield* Effect.flip(replaceOld(store))).toMatchObject({
          outcome: "unknown",
          reason: "another of them was lost"
        })
        expect(writes).toHaveLength(1)
      })
    )

    it.effect("is never one that creates or removes: others may do the opposite before it could be read", () =>
      Effect.gen(function* () {
        const { stands, store, writes } = storeOf(type, lands)
        yield* remove(store, KEY, yield* create(store))
        stands.push({ text: REMOVED, etag: "3" })
        yield* create(store)
        expect(writes).toMatchObject([{ alone: true }, { alone: true }, { alone: true }])
      })
    )
  })
}

describe("a write among others, state.redis", () => {
  it.effect("that made a vanished key anew is taken back", () =>
    Effect.gen(function* () {
      const { stands, store } = storeOf("state.redis", ({ text }, all) => void all.push({ text, etag: "1" }))
      stands.push({ text: OLD, etag: "7" })
      expect((yield* Effect.flip(replaceOld(store)))._tag).toBe("Lost")
      expect(StoredText.decode(stands.at(-1)!.text)).toBeUndefined()
    })
  )

  it.effect("that is urgent is not among others", () =>
    Effect.gen(function* () {
      const { stands, store, writes } = storeOf("state.redis", lands)
      stands.push({ text: OLD, etag: "7" })
      yield* put(store, { key: KEY, text: MINE, expected: StoredText.versionOf(OLD), ttlInSeconds: "-1", urgent: true })
      expect(writes).toMatchObject([{ alone: true }])
    })
  )
})
