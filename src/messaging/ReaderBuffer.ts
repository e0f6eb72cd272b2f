/**
 * What a slow reader may hold up: 1,024 items or 4 MiB. Beyond, the oldest go, and the next item it gets says how many.
 * Behind Receive, Watch and Subscribe.
 */
import type * as Effect from "effect/Effect"

export interface ReaderBuffer<A> {
  /** Synchronous, never waits. `bytes` is what the item holds. */
  readonly offer: (item: A, bytes: number) => void
  /** All that has come, waiting for at least one; `missed` items were dropped before the first of them. Ends with `end`. */
  readonly take: Effect.Effect<{ readonly items: ReadonlyArray<A>; readonly missed: number }, "ended">
  /** No more items: `take` drains what is there, then fails with "ended". */
  readonly end: () => void
}
