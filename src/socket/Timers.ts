/** Real time for real sockets: a monotonic clock that is cheap to ask for each frame, and timers that cannot overflow. */

import { perTurn } from "./TurnTime.js"

export interface Timers {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Runs `f` once after `ms`; the returned function takes it back. */
  readonly after: (ms: number, f: () => void) => () => void
}

/** Node runs a timer that is longer at once. Whoever waits for more looks at its deadline again and waits on. */
export const MAX_TIMER_MS = 2 ** 31 - 1

export const makeTimers = (): Timers => ({
  now: perTurn(() => performance.now()),
  after: (ms, f) => {
    const timer = setTimeout(f, Math.min(Math.max(0, Math.ceil(ms)), MAX_TIMER_MS))
    // an open socket keeps the process running by itself
    timer.unref()
    return () => clearTimeout(timer)
  }
})
