/** The present incarnation, and the listeners to its changes; the writing side of `Lease`. */
import * as Effect from "effect/Effect"
import { Listeners } from "../../common/Listeners.js"
import type { Instant } from "../../common/SuspendAwareClock.js"
import type { IncarnationEnd, IncarnationState } from "./Incarnation.js"
import { type Incarnation, Lease, type LeaseChange } from "./Lease.js"

export interface LeaseController {
  readonly lease: Lease["Type"]
  readonly present: () => IncarnationState
  /** A new incarnation, whose record is written. */
  readonly begin: (life: IncarnationState) => void
  /** The index names it: work may begin. */
  readonly joined: (life: IncarnationState) => void
  readonly renew: (life: IncarnationState, mark: Instant) => void
  /** Called ahead of the expiry. */
  readonly lapse: (life: IncarnationState) => void
  /** Never acts again. */
  readonly end: (life: IncarnationState, reason: IncarnationEnd) => void
}

export const make = (first: IncarnationState): LeaseController => {
  const listeners = new Listeners<[change: LeaseChange, of: Incarnation]>()
  let present = first

  const tell = (change: LeaseChange, life: IncarnationState): void => {
    if (change !== "ended") life.told = change
    listeners.tell(change, life)
  }
  const tellHeld = (life: IncarnationState): void => {
    if (life.joined && life.told !== "held" && life.valid()) tell("held", life)
  }
  const tellLost = (life: IncarnationState): void => {
    // a lease that was laid down is not lost: everything was closed before it was laid down
    if (life.told === "held" && !life.valid() && !life.ended() && !life.laidDown()) tell("lost", life)
  }

  const held = (life: IncarnationState): boolean => life.joined && life.valid()

  return {
    present: () => present,
    begin: (life) => {
      present = life
    },
    joined: (life) => {
      life.joined = true
      life.joinedAt = life.elapsed.mark().monotonic
      tellHeld(life)
    },
    // a lease that ran out unnoticed (a freeze) is told as lost before the beat that revives it: its sockets must close
    renew: (life, mark) => {
      tellLost(life)
      life.renew(mark)
      tellHeld(life)
    },
    lapse: (life) => {
      life.lapse()
      tellLost(life)
    },
    end: (life, reason) => {
      if (life.end(reason)) tell("ended", life)
    },
    lease: {
      life: () => present,
      valid: () => held(present),
      awaitHeld: Effect.async<Incarnation>((resume) => {
        if (held(present)) return resume(Effect.succeed(present))
        const stop = listeners.add((change, life) => {
          if (change !== "held") return
          stop()
          resume(Effect.succeed(life))
        })
        return Effect.sync(stop)
      }),
      onChange: listeners.add
    }
  }
}
