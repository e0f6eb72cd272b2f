import { whenTurnEnds } from "../domain/CallbackGuard.js"

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
