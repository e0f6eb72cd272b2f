/**
 * What a slow reader may hold up: 16,384 items or 4 MiB. Beyond, the oldest go, and the next item it gets says how many.
 * Behind Receive, Watch and Subscribe.
 */
import * as Effect from "effect/Effect"
import { DropOldestBuffer } from "../common/DropOldestBuffer.js"
import { CALLER } from "../domain/Limits.js"

export interface ReaderBuffer<A> {
  /** Synchronous, never waits. `bytes` is what the item holds. */
  readonly offer: (item: A, bytes: number) => void
  /**
   * All that has come, waiting for at least one; `missed` items were dropped before the first of them. Ends with `end`.
   * For one reader.
   */
  readonly take: Effect.Effect<{ readonly items: ReadonlyArray<A>; readonly missed: number }, "ended">
  /** No more items: `take` drains what is there, then fails with "ended". */
  readonly end: () => void
}

/** A buffer for one reader. Nothing runs for it: an offer wakes a reader that waits. */
export const make = <A>(): ReaderBuffer<A> => {
  let ended = false
  let waiting: (() => void) | undefined
  const wake = () => {
    const reader = waiting
    waiting = undefined
    reader?.()
  }
  const buffer = new DropOldestBuffer<A>(wake, CALLER.READER_ITEMS, CALLER.READER_BYTES)
  const take: ReaderBuffer<A>["take"] = Effect.suspend(() => {
    if (buffer.size > 0) return Effect.succeed(buffer.takeAll())
    if (ended) return Effect.fail("ended" as const)
    return Effect.zipRight(
      Effect.async<void>((resume) => {
        waiting = () => resume(Effect.void)
        return Effect.sync(() => {
          waiting = undefined
        })
      }),
      take
    )
  })
  return {
    offer: (item, bytes) => {
      if (!ended) buffer.offer(item, bytes)
    },
    take,
    end: () => {
      ended = true
      wake()
    }
  }
}
