/**
 * How many dials a host gets per second: one token bucket per host name and port, first come first served.
 *
 * A burst of one second's share passes at once, but no five seconds see more than 1.1 times what the rate gives: whoever has
 * thousands to dial after a pause would otherwise come to 1.2 times.
 *
 * The setting is for the whole fleet; an instance uses its share of it. A share of 0 (a joiner that its peers do not count
 * yet) dials nothing and looks again. A bucket that is full, that nobody waits for and whose host was not dialled for five
 * seconds is forgotten.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Settings } from "../config/Settings.js"
import { SlidingCount, WINDOW } from "./SlidingCount.js"

export class DialBudget extends Context.Tag("websocketmanager/socket/DialBudget")<
  DialBudget,
  {
    /** Waits for this host's turn. Interruption gives the place in the queue back. */
    readonly acquire: (hostPort: string) => Effect.Effect<void>
    /** Milliseconds a dial that asked now would wait; Infinity while the share is 0. */
    readonly waitMillis: (hostPort: string) => number
    /** Hosts remembered now. */
    readonly hosts: () => number
  }
>() {}

/** The whole rate is this instance's, as long as it is alone. */
export const layer = (share: () => number = () => 1): Layer.Layer<DialBudget, never, Settings> =>
  Layer.effect(
    DialBudget,
    Effect.flatMap(Settings, ({ dialRatePerHost }) => make(() => dialRatePerHost * share()))
  )

interface Bucket {
  tokens: number
  /** when `tokens` was true, milliseconds */
  at: number
  /** the dials of the last seconds */
  readonly dialled: SlidingCount
  /** in the order in which they came; the first one is at the counter */
  readonly queue: Set<Deferred.Deferred<void>>
}

/** Nobody sleeps longer than this before looking at the rate again: shares change when instances come and go. */
const LOOK_AGAIN_MS = 1000
/** Of what the rate gives in a window; what is missing to 1.1 is for dials that are not equally quick. */
const MOST = 1.08

/** `rate`: dials per second now; asked at each look. */
export const make = (rate: () => number): Effect.Effect<DialBudget["Type"]> =>
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
      for (const [hostPort, bucket] of buckets) if (isIdle(bucket)) buckets.delete(hostPort)
    }
    const bucketOf = (hostPort: string): Bucket => {
      sweep()
      let bucket = buckets.get(hostPort)
      if (bucket === undefined) {
        bucket = { tokens: burst(), at: clock.unsafeCurrentTimeMillis(), dialled: new SlidingCount(), queue: new Set() }
        buckets.set(hostPort, bucket)
      }
      refill(bucket)
      return bucket
    }
    /** Until there are so many tokens, and room in the window for one of them. */
    const millisFor = (bucket: Bucket, tokens: number): number => {
      // A hair less than a whole token: what the division of a rate leaves over must not cost another millisecond.
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

    const acquire = (hostPort: string): Effect.Effect<void> =>
      Effect.suspend(() => {
        const bucket = bucketOf(hostPort)
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
      hosts: () => {
        sweep()
        return buckets.size
      },
      waitMillis: (hostPort) => {
        const bucket = buckets.get(hostPort)
        if (bucket === undefined) return rate() > 0 ? 0 : Infinity
        refill(bucket)
        return millisFor(bucket, bucket.queue.size + 1)
      }
    }
  })
