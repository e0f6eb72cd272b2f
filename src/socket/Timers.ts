/** Real time for real sockets: a monotonic clock that is cheap to ask for each frame, and timers that cannot overflow. */

export interface Timers {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Runs `f` once after `ms`; the returned function takes it back. */
  readonly after: (ms: number, f: () => void) => () => void
}

/** Node runs a timer that is longer at once. Whoever waits for more looks at its deadline again and waits on. */
export const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * The clock is read once for all that the sockets bring in one turn of the event loop: that may be thousands of frames, and
 * asking the time for each would cost as much as an eighth of receiving it.
 */
export const makeTimers = (): Timers => {
  let cached = -1
  const forget = () => {
    cached = -1
  }
  return {
    now: () => {
      if (cached === -1) {
        cached = performance.now()
        setImmediate(forget)
      }
      return cached
    },
    after: (ms, f) => {
      const timer = setTimeout(f, Math.min(Math.max(0, Math.ceil(ms)), MAX_TIMER_MS))
      return () => clearTimeout(timer)
    }
  }
}
