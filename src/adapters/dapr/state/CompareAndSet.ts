/**
 * One guarded write, and what became of it (S02, S03, S07).
 *
 * Success means done, for a write that had a request of its own. After any other answer this instance reads the key back.
 * Where its own text stands there, the write happened; where another text does, the write lost, or was overwritten already.
 * Where the write may still happen, the outcome is unknown, and the call says so. A repetition begins only once no earlier
 * sending can land any more.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { StateStoreUnavailable } from "../../../domain/Errors.js"
import type { Version } from "../../../ports/StateStore.js"
import type { CallFailed } from "../sidecar/GrpcConnection.js"
import type { EtagCache } from "./EtagCache.js"
import type { StateClient } from "./StateClient.js"
import type { StoreDialect } from "./StoreDialect.js"
import * as StoredText from "./StoredText.js"

/** Represents a lost race. */
export class Lost extends Data.TaggedError("Lost") {}

export interface Put {
  readonly key: string
  readonly text: string
  /** undefined: the key must be absent, or removed */
  readonly expected: Version | undefined
  readonly ttlInSeconds: string
  /** it does not wait for the write of another key */
  readonly urgent: boolean
}

export interface Store {
  readonly client: StateClient
  readonly dialect: StoreDialect
  readonly etags: EtagCache
  /** the longest a write may take, settling its outcome included */
  readonly deadlineMs: number
  /** for a person: what failed */
  readonly reason: (failure: CallFailed) => string
}

/** What stands under a key. */
export interface Seen {
  /** undefined: it was removed */
  readonly value: string | undefined
  readonly version: Version
  readonly etag: string
}

/** How long a removed key is remembered. */
const TOMBSTONE_SECONDS = "3600"
/** of creating over what others remove meanwhile */
const ATTEMPTS = 4
/** the part of the deadline that the write has; the rest is for reading back */
const FOR_THE_WRITE = 0.6

/** gRPC codes by which the sidecar refuses a request before it reaches the store. */
const REFUSED = new Set([3, 5, 7, 9, 12, 16])

export const see = (
  store: Store,
  key: string,
  withinMs: number,
  alone = false
): Effect.Effect<Seen | undefined, CallFailed> =>
  Effect.suspend(() => {
    const { client, dialect, etags } = store
    const at = performance.now()
    return Effect.flatMap((alone ? client.getAlone : client.get)(key, withinMs), (item) => {
      if (item === undefined) return Effect.succeed(undefined)
      const seen = seenOf(item.text, item.etag)
      // where etags are counters, the etag of a key that was only read is not kept: the key's time to live is not known
      if (!dialect.counts) etags.note(key, seen.version, seen.etag, at)
      else if (etags.revived(key, seen.version, seen.etag)) {
        return bury(store, key, seen.etag, at + withinMs)
      }
      return Effect.succeed(seen)
    })
  })

/** Takes back the write that made a vanished key anew. Answers with what stands there then. */
const bury = (store: Store, key: string, etag: string, until: number): Effect.Effect<Seen | undefined, CallFailed> => {
  const text = StoredText.tombstone()
  const left = () => until - performance.now()
  return store.client.save({ key, text, etag, ttlInSeconds: TOMBSTONE_SECONDS }, left(), true).pipe(
    Effect.map(() => seenOf(text, String(Number(etag) + 1))),
    Effect.tap(() => Effect.sync(() => store.etags.settled(key))),
    Effect.catchIf(
      (failure) => failure.kind === "answered" && store.dialect.lost(failure),
      () => see(store, key, left())
    )
  )
}

export const seenOf = (text: string, etag: string): Seen => ({
  value: StoredText.decode(text),
  version: StoredText.versionOf(text),
  etag
})

/** Writes, only over what is expected. Answers with the version of what was written. */
export const put = (store: Store, { expected, key, text, ttlInSeconds, urgent }: Put) =>
  Effect.gen(function* () {
    const { client, dialect, etags } = store
    const mine = StoredText.versionOf(text)
    const until = performance.now() + store.deadlineMs
    const left = () => until - performance.now()

    const unavailable = (failure: CallFailed) => new StateStoreUnavailable({ reason: store.reason(failure) })
    const unknown = (failure: CallFailed) =>
      new StateStoreUnavailable({ outcome: "unknown", reason: store.reason(failure) })
    const fits = (current: Seen | undefined): current is Seen =>
      current !== undefined && current.value !== undefined && current.version === expected
    /** alone after a request that broke: if one of several keys broke it, that key must not break this read too */
    const readBack = (alone: boolean) => Effect.suspend(() => Effect.mapError(see(store, key, left(), alone), unknown))

    /** Judges a write that landed. It went over `etag`, as it should, unless the key had vanished before. */
    const landed = (current: Seen | undefined, etag: string, at: number) => {
      if (!dialect.counts) return Effect.succeed(mine)
      etags.settled(key)
      const wanted = Number(etag) + 1
      const count = current === undefined ? Infinity : Number(current.etag)
      if (count < wanted || (count === wanted && current?.version !== mine)) return new Lost()
      if (count === wanted && ttlInSeconds === "-1") etags.note(key, mine, String(count), at)
      return Effect.succeed(mine)
    }

    /** The etag of what this write goes over; undefined: it goes over nothing. */
    let over: string | undefined
    /** until then the key that this call looked at cannot have vanished: this instance wrote it for ever */
    let standsUntil = -Infinity
    if (expected !== undefined) {
      over = etags.of(key, expected)
      if (over === undefined) {
        if (etags.isLasting(key, expected)) standsUntil = performance.now() + dialect.believedFor
        const current = yield* Effect.mapError(see(store, key, left(), urgent), unavailable)
        // an earlier sending of this very write, whose outcome was unknown
        if (current?.version === mine) return mine
        if (!fits(current)) return yield* new Lost()
        over = current.etag
      }
    }

    // A tombstone found afterwards does not tell whether it was there before. So a create must have an answer about its own
    // key.
    const alone = urgent || expected === undefined
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const at = performance.now()
      const etag = over ?? dialect.createEtag
      if (expected !== undefined && dialect.counts) etags.sending(key, mine, Number(over) + 1)
      const sent = yield* Effect.catchAll(
        client.save({ key, text, etag, ttlInSeconds }, left() * FOR_THE_WRITE, alone || attempt > 0),
        (failure) => Effect.succeed({ _tag: "Failed" as const, failure })
      )
      if (sent._tag === "Confirmed") {
        if (expected !== undefined && dialect.counts) {
          if (attempt > 0 || performance.now() >= standsUntil) return yield* landed(yield* readBack(urgent), over!, at)
          // Not settled on purpose: if the whole store was lost in between, the next reader takes this write back.
          if (ttlInSeconds === "-1") etags.note(key, mine, String(Number(over) + 1), at)
          return mine
        }
        // a create over a tombstone that has just expired is a create all the same
        if (over === undefined && dialect.counts && ttlInSeconds === "-1") etags.note(key, mine, "1", at)
        return mine
      }
      const { failure } = sent
      const together = sent._tag === "Ambiguous"
      if (!together && (failure.kind === "unsent" || (failure.kind === "answered" && REFUSED.has(failure.code)))) {
        return yield* unavailable(failure)
      }
      const current = yield* readBack(!together)
      if (current?.version === mine) {
        return expected === undefined ? mine : yield* landed(current, over!, at)
      }

      const free = expected === undefined ? current?.value === undefined : fits(current)
      // The key is as it was, or was removed since. The caller may repeat the write, since it knows whether it still may
      // write.
      if (together) return yield* free || current === undefined ? unknown(failure) : new Lost()
      const lost = failure.kind === "answered" && dialect.lost(failure)
      if (!free) {
        // the counter of a new key begins anew, which would let a late arrival of this write in
        if (current === undefined && dialect.counts && !lost) return yield* unknown(failure)
        return yield* new Lost()
      }
      if (current === undefined ? !lost : current.etag === etag) return yield* unknown(failure)
      over = current?.etag
    }
    return yield* new StateStoreUnavailable({ reason: `${key} is created and removed by others all the time` })
  })

/**
 * Leaves a tombstone, only over what is expected. In a request of its own: others may create over the tombstone before it
 * could be read back.
 */
export const remove = (store: Store, key: string, expected: Version) =>
  put(store, { key, text: StoredText.tombstone(), expected, ttlInSeconds: TOMBSTONE_SECONDS, urgent: true })
