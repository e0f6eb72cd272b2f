/** Turns that are evenly spaced over all callers; the rate may change between two of them. */

export interface Spacing {
  /** Milliseconds until the turn of the present caller, at so many per second. */
  readonly next: (perSecond: number) => number
}

/** `now`: milliseconds of a clock that is never set */
export const make = (now: () => number): Spacing => {
  let free = Number.NEGATIVE_INFINITY
  return {
    next: (perSecond) => {
      const at = Math.max(free, now())
      free = at + 1000 / perSecond
      return at - now()
    }
  }
}
