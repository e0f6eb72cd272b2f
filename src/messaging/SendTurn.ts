/**
 * How many bytes of callers' messages are worked on in one turn of the event loop, and how many pages of lists are made.
 *
 * To look for an id in a message, or to wrap it, takes time in proportion to its bytes. For the largest that is up to half
 * a second. Many that come in one turn would keep every timer, and the lease itself, waiting for all of them together. Once
 * a turn has had enough, the others wait for the next ones, first come, first served; between two turns timers run and
 * sockets are read. Small ones never wait.
 */
import * as Effect from "effect/Effect"
import { whenTurnEnds } from "../common/CallbackGuard.js"
import { CALLER } from "../domain/Limits.js"

/** Below this, waiting would cost more than the work. */
const SMALL_BYTES = 4096

interface Waiting {
  readonly bytes: number
  readonly resume: (go: Effect.Effect<void>) => void
}

export class SendTurn {
  private worked = 0
  private readonly waiting = new Set<Waiting>()

  /** Done when this message may be worked on, at once if it can be. */
  begin(bytes: number): Effect.Effect<void> {
    if (bytes <= SMALL_BYTES) return Effect.void
    return Effect.suspend(() => {
      if (this.waiting.size === 0 && this.hasRoom(bytes)) {
        this.count(bytes)
        return Effect.void
      }
      return Effect.async<void>((resume) => {
        const one = { bytes, resume }
        this.waiting.add(one)
        return Effect.sync(() => this.waiting.delete(one))
      })
    })
  }

  /** One that is larger than all room has a turn of its own. */
  private hasRoom(bytes: number): boolean {
    return this.worked === 0 || this.worked + bytes <= CALLER.TURN_BYTES
  }

  private count(bytes: number): void {
    if (this.worked === 0) whenTurnEnds(this.next)
    this.worked += bytes
  }

  private readonly next = (): void => {
    this.worked = 0
    for (const one of this.waiting) {
      if (!this.hasRoom(one.bytes)) return
      this.waiting.delete(one)
      this.count(one.bytes)
      one.resume(Effect.void)
    }
  }
}
