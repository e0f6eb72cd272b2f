/**
 * What handling the frames of each connection costs in one turn of the event loop, as `ReadTurn` counts what they bring.
 *
 * The clock is not read for each frame. Every large frame is measured, and of small ones one in so many bytes. After a dear
 * frame all are measured, until they are cheap again. Time in which the process did not run counts for no frame: the
 * processor time that it used decides.
 */
import { whenTurnEnds } from "../../common/CallbackGuard.js"
import { FEED } from "../../domain/Limits.js"

/** What a connection brings between two looks at the clock; a frame counts for its bytes and for the handling of it. */
const STEP_BYTES = 64 * 1024
const HANDLING_BYTES = 256
/** A frame that took longer is dear. */
const DEAR_MS = 1
/** The reading that the processor time is counted from may be so old. */
const OLD_MS = 50

/** A connection as it is charged. */
export interface Charged {
  /** what it brought since the last look, and how much it may bring without one */
  unseen: number
  step: number
  /** milliseconds of one turn, and which turn that is */
  spent: number
  spentIn: number
  /** Its frames took so many milliseconds of one turn, and that is too much. */
  tooExpensive(ms: number): void
}

export class TurnCost {
  private turn = 0
  private isOpen = false
  private used = process.cpuUsage()
  private usedAt = performance.now()

  /** A frame is about to be handled: when that begins, or 0 where it is not measured. */
  begins(bytes: number, charged: Charged): number {
    charged.unseen += bytes + HANDLING_BYTES
    return charged.unseen < charged.step ? 0 : this.look(charged)
  }

  /** The frame that `begins` looked at is handled. */
  ends(began: number, charged: Charged): void {
    const now = performance.now()
    const took = now - began
    charged.step = took > DEAR_MS ? 0 : Math.min(STEP_BYTES, 2 * charged.step + HANDLING_BYTES)
    if (charged.spentIn !== this.turn) {
      charged.spentIn = this.turn
      charged.spent = 0
    }
    charged.spent += took
    if (charged.spent < FEED.TURN_MS) return
    const { system, user } = process.cpuUsage(this.used)
    const spent = Math.min(charged.spent, (user + system) / 1000)
    charged.spent = spent
    if (spent < FEED.TURN_MS) return
    charged.spent = 0
    this.countAnew(now)
    charged.tooExpensive(spent)
  }

  private look(charged: Charged): number {
    charged.unseen = 0
    const now = performance.now()
    if (!this.isOpen) {
      this.isOpen = true
      this.turn += 1
      whenTurnEnds(this.turnEnds)
      if (now - this.usedAt > OLD_MS) this.countAnew(now)
    }
    return now
  }

  private countAnew(now: number): void {
    this.used = process.cpuUsage()
    this.usedAt = now
  }

  private readonly turnEnds = (): void => {
    this.isOpen = false
  }
}
