/** When a failed entry is repeated, and when it is given up. */

const BASE_MILLIS = 100
const CAP_MILLIS = 5000
const GIVE_UP_FAILURES = 10
const GIVE_UP_MILLIS = 30_000

/** Milliseconds to the next attempt, 100 to 5,000, after so many failures in a row; `random` is 0 to 1. */
export const retryDelay = (failures: number, random: number): number => {
  const full = Math.min(CAP_MILLIS, BASE_MILLIS * 2 ** Math.min(failures - 1, 10))
  return Math.max(BASE_MILLIS, Math.round(full * (0.75 + 0.25 * random)))
}

/**
 * Poison-entry detection: the failures of one entry, the head of its lane. It is dropped after 10 failures over at least 30 s. A
 * failure counts only if the component accepted another entry since the failure before: a full outage drops nothing.
 */
export class Failures {
  private entry: object | undefined
  private since = 0
  private soloFailures = 0
  private others = 0
  /** in a row */
  count = 0

  /** One more failure of this entry; `published` counts what the component took so far. True: give it up. */
  add(entry: object, now: number, published: number): boolean {
    if (this.entry !== entry) {
      this.entry = entry
      this.since = now
      this.count = 0
      this.soloFailures = 1
    } else if (published > this.others) {
      this.soloFailures++
    }
    this.count++
    this.others = published
    return this.soloFailures >= GIVE_UP_FAILURES && now - this.since >= GIVE_UP_MILLIS
  }

  clear(): void {
    this.entry = undefined
    this.count = 0
  }
}
