/** One at a time, first come first served; waiting effects can be sent away. */
import * as Effect from "effect/Effect"
import type { RequestAborted } from "./ReplyMatcher.js"

export interface NextTurns {
  /** Runs when all that came before are done. */
  readonly take: <A, E>(run: Effect.Effect<A, E>) => Effect.Effect<A, E | RequestAborted>
  /** Ends the waiting of all that have not begun. */
  readonly abort: () => void
  /** Ends a turn that was held beyond its run. */
  readonly next: () => void
  readonly isBusy: () => boolean
  /** How many have not begun. */
  readonly waiting: () => number
}

/** `isHeld` is asked when a run is over: its turn ends by `next` then. */
export const make = (isHeld: () => boolean = () => false): NextTurns => {
  const waiting = new Set<(turn: Effect.Effect<void, RequestAborted>) => void>()
  let busy = false

  const begin = Effect.async<void, RequestAborted>((resume) => {
    if (!busy) {
      busy = true
      return resume(Effect.void)
    }
    let begun = false
    const wake = (turn: Effect.Effect<void, RequestAborted>) => {
      begun = turn === Effect.void
      resume(turn)
    }
    waiting.add(wake)
    return Effect.sync(() => {
      waiting.delete(wake)
      // Interrupted between its turn coming and its beginning: the turn goes on to the next one.
      if (begun) end()
    })
  })

  const end = (): void => {
    const [wake] = waiting
    if (wake === undefined) {
      busy = false
      return
    }
    waiting.delete(wake)
    wake(Effect.void)
  }

  return {
    take: (run) =>
      Effect.acquireUseRelease(
        Effect.interruptible(begin),
        () => run,
        () => Effect.sync(() => isHeld() || end())
      ),
    next: end,
    isBusy: () => busy,
    waiting: () => waiting.size,
    abort: () => {
      const all = [...waiting]
      waiting.clear()
      for (const wake of all) wake(Effect.fail({ _tag: "RequestAborted", sent: "no" }))
    }
  }
}
