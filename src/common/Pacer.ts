/** So many per second, evenly over all callers; a pause earns nothing. */
import * as Effect from "effect/Effect"
import type { SuspendAwareClock } from "./SuspendAwareClock.js"

export interface Pacer {
  /** Waits until `n` more may go. */
  readonly take: (n: number) => Effect.Effect<void>
}

export const make = (perSecond: number, elapsed: SuspendAwareClock): Pacer => {
  let next = Number.NEGATIVE_INFINITY
  return {
    take: (n) =>
      Effect.suspend(() => {
        const now = elapsed.mark().monotonic
        const at = Math.max(next, now)
        next = at + (n * 1000) / perSecond
        return at > now ? Effect.sleep(at - now) : Effect.void
      })
  }
}
