/** Permits that are evenly spaced over all callers; a pause earns nothing, and the rate may change between two of them. */
import * as Effect from "effect/Effect"

export interface Pacer {
  /** Takes `n` permits at so many per second: milliseconds until the first of them. */
  readonly next: (perSecond: number, n?: number) => number
  /** The same, and waits for it. */
  readonly take: (perSecond: number, n?: number) => Effect.Effect<void>
}

/** `now`: milliseconds of a clock that is never set */
export const make = (now: () => number): Pacer => {
  let free = Number.NEGATIVE_INFINITY
  const next: Pacer["next"] = (perSecond, n = 1) => {
    const present = now()
    const at = Math.max(free, present)
    free = at + (n * 1000) / perSecond
    return at - present
  }
  return {
    next,
    take: (perSecond, n) =>
      Effect.suspend(() => {
        const wait = next(perSecond, n)
        return wait > 0 ? Effect.sleep(wait) : Effect.void
      })
  }
}
