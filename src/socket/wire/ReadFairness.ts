/**
 * What the sockets of this process together may bring in one turn of the event loop.
 *
 * The loop of libuv reads up to two megabytes from one socket before it looks at the next. So a hundred floods would keep
 * every timer, every call and the lease itself waiting for seconds. Once the turn has brought enough, a socket that brings
 * much more is not read until its turn comes again; of those, one goes on in each turn of the loop. A socket that brings
 * little is never held up.
 */

import { attempt, type Guarded, whenTurnEnds } from "../../common/CallbackGuard.js"

/** Bytes of one turn, some tens of milliseconds of work; a frame counts for its bytes and for the handling of it. */
const TURN_BYTES = 8 * 1024 * 1024
/** What a socket may still bring in a turn that has brought enough. */
const SHARE_BYTES = 64 * 1024
const HANDLING_BYTES = 256

/** A socket as it is held up. */
export interface Reading extends Guarded {
  held: boolean
  /** what it brought after its turn had brought enough, and which turn that was */
  beyond: number
  turn: number
  pauseReading(): void
  resumeReading(): void
}

export class ReadFairness {
  private brought = 0
  private turn = 0
  private scheduled = false
  private readonly waiting = new Set<Reading>()

  /** A frame came. Several small turns are counted as one, so that they need no end of their own. */
  frame(bytes: number, reading: Reading): void {
    const size = bytes + HANDLING_BYTES
    this.brought += size
    if (this.brought >= TURN_BYTES && !reading.held) this.over(size, reading)
  }

  private over(size: number, reading: Reading): void {
    this.schedule()
    if (reading.turn !== this.turn) {
      reading.turn = this.turn
      reading.beyond = 0
    }
    reading.beyond += size
    if (reading.beyond < SHARE_BYTES) return
    reading.held = true
    reading.pauseReading()
    this.waiting.add(reading)
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    whenTurnEnds(this.next)
  }

  private readonly next = (): void => {
    this.scheduled = false
    this.brought = 0
    this.turn += 1
    const [reading] = this.waiting
    if (reading === undefined) return
    this.waiting.delete(reading)
    if (this.waiting.size > 0) this.schedule()
    reading.held = false
    attempt(reading, reading.resumeReading)
  }
}
