/**
 * One timer for all that have the same time to their deadline. A timer for each costs a part of what it guards, a publish
 * or a call of a store.
 */

export interface Pending {
  /** of the queue's clock, milliseconds; set when it is added */
  endsAt: number
  /** Its time is over; it is no longer among the pending. */
  readonly late: () => void
}

/** The time of a queue. */
export interface DeadlineClock {
  /** milliseconds that never go back */
  readonly now: () => number
  readonly after: (millis: number, ring: () => void) => void
}

/** The timer does not keep the process running: work under way does so by its socket. */
const SYSTEM: DeadlineClock = {
  now: () => performance.now(),
  after: (millis, ring) => void setTimeout(ring, millis).unref()
}

export class DeadlineQueue {
  /** in the order they were added, which is the order they end in */
  private readonly pending = new Set<Pending>()
  private armed = false

  constructor(
    /** milliseconds */
    readonly patience: number,
    private readonly clock: DeadlineClock = SYSTEM
  ) {}

  add(one: Pending): void {
    one.endsAt = this.clock.now() + this.patience
    this.pending.add(one)
    if (!this.armed) this.arm(this.patience)
  }

  remove(one: Pending): void {
    this.pending.delete(one)
  }

  private arm(millis: number): void {
    this.armed = true
    this.clock.after(millis, this.ring)
  }

  private readonly ring = (): void => {
    this.armed = false
    const now = this.clock.now()
    const late: Array<Pending> = []
    for (const one of this.pending) {
      if (one.endsAt > now) {
        this.arm(one.endsAt - now)
        break
      }
      late.push(one)
    }
    for (const one of late) if (this.pending.delete(one)) one.late()
  }
}
