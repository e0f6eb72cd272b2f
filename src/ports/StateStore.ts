/**
 * The one thing asked of a database: atomic compare-and-set on a single key.
 *
 * Every guarantee below is a numbered test in `test/conformance/StateStoreConformance.ts`; an adapter is right when it
 * passes them, whatever its vendor promises.
 *
 * S01 get: the value and an opaque version, or none; an empty value is a value.
 * S02 create: of any number of concurrent creators exactly one succeeds.
 * S03 replace: only at the expected version; a stale version never succeeds, also not after the key was removed,
 *     expired or re-created.
 * S04 remove: only at the expected version.
 * S05 getMany: as get, any number of keys (the adapter splits by count and by bytes), absent ones absent.
 * S06 a reader sees its own writes.
 * S07 an outcome that is unknown is settled before the call returns, by reading the value back. Every guarded value carries
 *     its writer's nonce, so equal text means this very write. Else the call fails with StateStoreUnavailable, with
 *     `outcome: "unknown"` when a write may have landed or may still land. It never lies.
 * S08 keys that differ are different (`/`, `:`, `+`, `%`, spaces, 200 characters).
 * S09 every call ends by its deadline, and can be interrupted.
 * S10 a value over the size limit is refused by name (ValueTooLarge), before anything is written.
 * S11 two handles on one store see the same data.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { StateStoreUnavailable } from "../domain/Errors.js"

/** Opaque proof of what was read. Equality is all you may ask of it. */
export type Version = string & { readonly Version: unique symbol }

/** A value as it was read. */
export interface Versioned {
  /** as written, text */
  readonly value: string
  /** for the write that depends on this read */
  readonly version: Version
}

/** Represents a lost race: the key is not at the expected version. An expected outcome; read again and decide. */
export class VersionMismatch extends Data.TaggedError("VersionMismatch")<{ readonly key: string }> {}

/** Represents a value over the store's size limit. Nothing was written. */
export class ValueTooLarge extends Data.TaggedError("ValueTooLarge")<{
  readonly key: string
  readonly bytes: number
  readonly limit: number
}> {}

/** How a write is done; all may be left out. */
export interface WriteOptions {
  /** The key vanishes after this long; absent: never. A later write without it clears it. */
  readonly ttl?: Duration.Duration | undefined
  /** Its answer waits for no other write's, where an adapter makes one request of several. */
  readonly urgent?: boolean | undefined
}

type WriteFailure = VersionMismatch | ValueTooLarge | StateStoreUnavailable

/** The store of records, each under compare-and-set. */
export class StateStore extends Context.Tag("websocketmanager/ports/StateStore")<
  StateStore,
  {
    /** S01 Read a key. Absence is `None`; an empty string is a value. */
    readonly get: (key: string) => Effect.Effect<Option.Option<Versioned>, StateStoreUnavailable>
    /** S05 Read many keys at once; absent keys are absent from the map. */
    readonly getMany: (
      keys: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, Versioned>, StateStoreUnavailable>
    /** S02 Create a key. Exactly one of any number of concurrent creators succeeds. */
    readonly create: (key: string, value: string, options?: WriteOptions) => Effect.Effect<Version, WriteFailure>
    /** S03 Replace a key, only if it is still at `expected`. */
    readonly replace: (
      key: string,
      value: string,
      expected: Version,
      options?: WriteOptions
    ) => Effect.Effect<Version, WriteFailure>
    /** S04 Remove a key, only if it is still at `expected`. */
    readonly remove: (key: string, expected: Version) => Effect.Effect<void, VersionMismatch | StateStoreUnavailable>
    /** One cheap look for `/health`: succeeds when the store answers. */
    readonly ping: Effect.Effect<void, StateStoreUnavailable>
  }
>() {}

/** S10: far above our records (256 KiB at most) and pages, far below what would hold the event loop up. */
export const MAX_VALUE_BYTES = 1024 * 1024

/** The refusal of a value over the limit, or nothing. */
export const tooLarge = (key: string, value: string, limit = MAX_VALUE_BYTES): ValueTooLarge | undefined => {
  if (value.length * 3 <= limit) return undefined
  const bytes = Buffer.byteLength(value)
  return bytes <= limit ? undefined : new ValueTooLarge({ key, bytes, limit })
}
