/** What runs beside the heartbeat: close ahead of the expiry, and say what became of the lease. */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type { IncarnationState } from "./Incarnation.js"
import type { LeaseController } from "./LeaseController.js"
import { CLOSE_AHEAD_MS, LEASE_CHECK_INTERVAL_MS } from "./LeaseTimings.js"

/**
 * Tells `lost` before the expiry instant. After a pause (SIGSTOP, a frozen machine) its comparison is what runs first.
 * Ends with the incarnation that it watches.
 */
export const guard = (board: LeaseController, life: IncarnationState): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (!life.ended()) {
      const rest = life.remaining() - CLOSE_AHEAD_MS
      if (rest <= 0) board.lapse(life)
      yield* Effect.sleep(rest <= 0 ? LEASE_CHECK_INTERVAL_MS : Math.min(Math.max(rest, 1), LEASE_CHECK_INTERVAL_MS))
    }
  })

/** Says in the log that the lease was lost, and why, and that it is held again. Runs until it is interrupted. */
export const report = (board: LeaseController, life: IncarnationState): Effect.Effect<void> =>
  Effect.gen(function* () {
    const lines = yield* Queue.unbounded<Effect.Effect<void>>()
    let lost = false
    const listen = () =>
      board.lease.onChange((change, of) => {
        if (of !== life) return
        if (change === "lost") {
          lost = true
          lines.unsafeOffer(Effect.logWarning(`the lease is lost: ${whyLost(life)}`))
        } else if (change === "held" && lost) {
          lost = false
          lines.unsafeOffer(Effect.logInfo("the lease is held again"))
        }
      })
    yield* Effect.acquireUseRelease(
      Effect.sync(listen),
      () => Effect.forever(Effect.flatten(Queue.take(lines))),
      (stop) => Effect.sync(stop)
    )
  })

const whyLost = (life: IncarnationState): string => {
  const silent = `${(life.sinceBeat() / 1000).toFixed(1)} s`
  return life.storeAway()
    ? `the state store has not answered for ${silent}`
    : `the process was frozen, or its clock was set: its last heartbeat was ${silent} ago`
}
