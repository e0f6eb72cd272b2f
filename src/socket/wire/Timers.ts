/** Real time for real sockets: a monotonic clock that is cheap to ask for each frame, and timers that cannot overflow. */

import { type Guarded, later, whenTurnEnds } from "../../common/CallbackGuard.js"

export interface Timers {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Runs `f` once after `ms`; the returned function takes it back. What `f` throws is its owner's. */
  readonly after: (ms: number, f: () => void, owner: Guarded) => () => void
}

/** Node fires a longer timer at once. Code that waits for longer looks at its deadline again and waits on. */
export const MAX_TIMER_MS = 2 ** 31 - 1

export const makeTimers = (): Timers => ({
  now: perTurn(() => performance.now()),
  // an open socket keeps the process running by itself
  after: (ms, f, owner) => later(Math.min(Math.max(0, Math.ceil(ms)), MAX_TIMER_MS), owner, f)
})

/**
 * The time of what the sockets bring in one turn of the event loop: read once for all of it. That may be thousands of frames,
 * and asking the clock for each would cost as much as an eighth of receiving it.
 */
export const perTurn = (now: () => number): (() => number) => {
  let held: number | undefined
  const turnEnds = () => {
    held = undefined
  }
  return () => {
    if (held !== undefined) return held
    held = now()
    whenTurnEnds(turnEnds)
    return held
  }
}
