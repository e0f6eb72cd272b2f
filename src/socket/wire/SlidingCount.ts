/**
 * How many there were within the last five seconds. Counted by quarters of a second, so one or two too long ago may still be
 * among them, and none is missing.
 */

/** milliseconds that are looked back over */
export const WINDOW = 5000

const SLOT = 250
const SLOTS = WINDOW / SLOT + 1

export class SlidingCount {
  private readonly counts = new Uint32Array(SLOTS)
  /** the number of the newest slot, counted from the beginning of time */
  private newest = 0
  private sum = 0

  /** @param now milliseconds; a clock that was set back keeps what is counted for one more window */
  at(now: number): number {
    const slot = Math.floor(now / SLOT)
    this.newest = Math.min(this.newest, slot)
    for (let empty = Math.max(this.newest + 1, slot - SLOTS + 1); empty <= slot; empty++) {
      const index = empty % SLOTS
      this.sum -= this.counts[index]!
      this.counts[index] = 0
    }
    this.newest = slot
    return this.sum
  }

  add(now: number): void {
    this.at(now)
    this.counts[this.newest % SLOTS]! += 1
    this.sum += 1
  }

  /** Milliseconds until there are fewer than `limit`, at least 1, if none is added meanwhile. */
  millisUntilBelow(limit: number, now: number): number {
    let left = this.at(now)
    if (left < limit) return 0
    const oldest = this.newest - SLOTS + 1
    for (let i = 0; i < SLOTS; i++) {
      left -= this.counts[(oldest + i + SLOTS) % SLOTS]!
      if (left < limit) return (oldest + i + SLOTS) * SLOT - now
    }
    return WINDOW
  }
}
