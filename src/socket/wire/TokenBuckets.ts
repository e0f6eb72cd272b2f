/**
 * How many dials each key (a host, a network, or all) gets per second: one token bucket a key, first come first served.
 *
 * A burst of one second's rate passes at once, but no five seconds see more than 1.1 times what the rate gives. Otherwise an
 * instance with thousands to dial after a pause would come to 1.2 times.
 *
 * A rate of 0 dials nothing and looks again. A bucket is forgotten when it is full, no dial waits for it and its key was not
 * dialled for five seconds.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { SlidingCount, WINDOW } from "./SlidingCount.js"

export interface TokenBuckets {
  /** Waits for this key's turn. Interruption gives the place in the queue back. */
  readonly acquire: (key: string) => Effect.Effect<void>
  /** Takes one that others will wait for; false when a second's rate is owed already. */
  readonly takeInDebt: (key: string) => boolean
  /** Milliseconds a dial that asked now would wait; Infinity while the rate is 0. */
  readonly waitMillis: (key: string) => number
  /** Keys remembered now. */
  readonly size: () => number
}

interface Bucket {
  tokens: number
  /** when `tokens` was true, milliseconds */
  at: number
  /** the dials of the last seconds */
  readonly dialled: SlidingCount
  /** in the order in which they came; the first one is at the counter */
  readonly queue: Set<Deferred.Deferred<void>>
}

/** No dial sleeps longer than this before looking at the rate again: shares change when instances come and go. */
const LOOK_AGAIN_MS = 1000
/**
 * The most dials in a window, as a multiple of what the rate gives. What is missing to 1.1 is for dials that are not
 * equally quick.
 */
const MOST = 1.08
/** Buckets that are kept, even when callers make up names. */
const MOST_KEYS = 10_000

/** `rate`: dials per second and key now; asked at each look. */
export const make = (rate: () => number): Effect.Effect<TokenBuckets> =>
  Effect.map(Effect.clock, (clock) => {
    const buckets = new Map<string, Bucket>()
    let sweptAt = clock.unsafeCurrentTimeMillis()
    const burst = () => (rate() > 0 ? Math.max(1, rate()) : 0)
    const inWindow = () => (rate() * WINDOW) / 1000
    /** fewer than so many in a window; a slow rate has room for its first one too */
    const most = () => Math.max(MOST * inWindow(), inWindow() + 1)

    const refill = (bucket: Bucket): void => {
      const now = clock.unsafeCurrentTimeMillis()
      const earned = (Math.max(0, now - bucket.at) / 1000) * rate()
      bucket.tokens = Math.min(burst(), bucket.tokens + earned)
      bucket.at = now
    }
    const isIdle = (bucket: Bucket): boolean => {
      refill(bucket)
      return bucket.queue.size === 0 && bucket.tokens >= burst() && bucket.dialled.at(bucket.at) === 0
    }
    const sweep = (): void => {
      const now = clock.unsafeCurrentTimeMillis()
      if (now - sweptAt < LOOK_AGAIN_MS) return
      sweptAt = now
      for (const [key, bucket] of buckets) if (isIdle(bucket)) buckets.delete(key)
    }
    const bucketOf = (key: string): Bucket => {
      sweep()
      let bucket = buckets.get(key)
      if (bucket === undefined) {
        if (buckets.size >= MOST_KEYS) evict()
        bucket = { tokens: burst(), at: clock.unsafeCurrentTimeMillis(), dialled: new SlidingCount(), queue: new Set() }
      } else buckets.delete(key)
      // The last one is the one used last.
      buckets.set(key, bucket)
      refill(bucket)
      return bucket
    }
    /** The least recently used one, but none for which a dial waits; of those there are as many as dials. */
    const evict = (): void => {
      for (const [key, { queue }] of buckets) if (queue.size === 0) return void buckets.delete(key)
    }
    /** Until there are so many tokens, and room in the window for one of them. */
    const millisFor = (bucket: Bucket, tokens: number): number => {
      // A hair less than a whole token is enough: what the division of a rate leaves over must not cost another
      // millisecond.
      const earned = bucket.tokens >= tokens - 1e-9 ? 0 : ((tokens - bucket.tokens) / rate()) * 1000
      return Math.max(earned, bucket.dialled.millisUntilBelow(most(), bucket.at))
    }
    /** Refilled, and free: one less. */
    const take = (bucket: Bucket): void => {
      bucket.tokens -= 1
      bucket.dialled.add(bucket.at)
    }

    /** Only for the one at the counter. */
    const takeOne = (bucket: Bucket): Effect.Effect<void> =>
      Effect.suspend(() => {
        refill(bucket)
        const millis = millisFor(bucket, 1)
        if (millis === 0) {
          take(bucket)
          return Effect.void
        }
        const wait = Math.min(LOOK_AGAIN_MS, Math.max(1, Math.ceil(millis)))
        return Effect.zipRight(Effect.sleep(Duration.millis(wait)), takeOne(bucket))
      })

    const acquire = (key: string): Effect.Effect<void> =>
      Effect.suspend(() => {
        const bucket = bucketOf(key)
        if (bucket.queue.size === 0 && millisFor(bucket, 1) === 0) {
          take(bucket)
          return Effect.void
        }
        return Effect.acquireUseRelease(
          Effect.map(Deferred.make<void>(), (turn) => {
            bucket.queue.add(turn)
            if (bucket.queue.size === 1) Deferred.unsafeDone(turn, Effect.void)
            return turn
          }),
          (turn) => Effect.zipRight(Deferred.await(turn), takeOne(bucket)),
          (turn) =>
            Effect.sync(() => {
              bucket.queue.delete(turn)
              const [next] = bucket.queue
              if (next !== undefined) Deferred.unsafeDone(next, Effect.void)
            })
        )
      })

    return {
      acquire,
      takeInDebt: (key) => {
        const bucket = bucketOf(key)
        if (bucket.tokens <= -burst() || rate() === 0) return false
        take(bucket)
        return true
      },
      size: () => {
        sweep()
        return buckets.size
      },
      waitMillis: (key) => {
        const bucket = buckets.get(key)
        if (bucket === undefined) return rate() > 0 ? 0 : Infinity
        refill(bucket)
        return millisFor(bucket, bucket.queue.size + 1)
      }
    }
  })
