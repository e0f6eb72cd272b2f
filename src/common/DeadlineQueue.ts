/** One timer for all publishes, which have the same time each: one for every publish costs a part of what the publish does. */

export interface Pending {
  /** of the monotonic clock, milliseconds; set when it is added */
  endsAt: number
  /** Its time is over; it is no longer among the pending. */
  readonly late: () => void
}

export class DeadlineQueue {
  /** in the order they were added, which is the order they end in */
  private readonly pending = new Set<Pending>()
  private armed = false

  constructor(
    /** milliseconds */
    readonly patience: number
  ) {}

  add(one: Pending): void {
    one.endsAt = performance.now() + this.patience
    this.pending.add(one)
    if (!this.armed) this.arm(this.patience)
  }

  remove(one: Pending): void {
    this.pending.delete(one)
  }

  /** What is under way holds the process by its socket. */
  private arm(millis: number): void {
    this.armed = true
    setTimeout(this.ring, millis).unref()
  }

  private readonly ring = (): void => {
    this.armed = false
    const now = performance.now()
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
