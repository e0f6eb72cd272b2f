/** The state of one life: its lease, as marks and comparisons, and what ends it. */
import type { HeartbeatStatus } from "../domain/Instance.js"
import type { Version } from "../ports/StateStore.js"
import type { Elapsed, Mark } from "./Elapsed.js"
import type { Life } from "./Lease.js"
import type { Periods } from "./Periods.js"

/** Why a life ended. `emptied`: the store came back without its record. */
export type LifeEnd = "fenced" | "emptied" | "left"

export class LifeState implements Life {
  /** of its heartbeat record, as last written or read */
  version: Version | undefined = undefined
  beat = 0
  /** what the record says, as far as is known */
  written: HeartbeatStatus = "alive"
  status: "alive" | "draining" = "alive"
  /** the index names it, work may begin */
  joined = false
  endedBy: LifeEnd | undefined = undefined
  /** what the listeners were told last */
  told: "nothing" | "held" | "lost" = "nothing"

  #landed: Mark | undefined = undefined
  #extended: Mark | undefined = undefined
  #missed: Mark | undefined = undefined
  #lapsed = false
  #laidDown = false

  constructor(
    readonly incarnation: string,
    readonly elapsed: Elapsed,
    readonly periods: Periods
  ) {}

  readonly ended = (): boolean => this.endedBy !== undefined

  readonly remaining = (): number => {
    const mark = this.#extended ?? this.#landed
    return mark === undefined || this.#lapsed ? 0 : this.periods.lease - this.elapsed.since(mark)
  }

  readonly valid = (): boolean => {
    if (this.endedBy !== undefined || this.#laidDown || this.#lapsed || this.#landed === undefined) return false
    if (this.remaining() > 0) return true
    this.#lapsed = true
    return false
  }

  readonly storeAway = (): boolean =>
    // an attempt ends within half an interval, and the next one follows: what is older was seen before a freeze
    this.#missed !== undefined && this.elapsed.since(this.#missed) < this.periods.interval

  /** The attempt that was sent just after `mark` ended without the store. */
  miss(mark: Mark): void {
    // frozen under way: that it had no answer says nothing of the store
    this.#missed = this.elapsed.since(mark) < this.periods.interval ? this.elapsed.mark() : undefined
  }

  /** The store has answered, whatever it said. */
  answered(): void {
    this.#missed = undefined
  }

  /** Laid down for ever: nothing is done under it any more, `left` may be written. */
  layDown(): void {
    this.#laidDown = true
  }
  laidDown(): boolean {
    return this.#laidDown
  }

  /** Milliseconds since the beat that landed last was sent. */
  sinceBeat(): number {
    return this.#landed === undefined ? Number.POSITIVE_INFINITY : this.elapsed.since(this.#landed)
  }

  /** The beat that was sent just after `mark` has landed. Only this revives a lease that ran out. */
  renew(mark: Mark): void {
    if (this.#landed !== undefined && mark.monotonic < this.#landed.monotonic) return
    this.#landed = mark
    if (this.#extended !== undefined && this.#extended.monotonic <= mark.monotonic) this.#extended = undefined
    if (this.elapsed.since(mark) < this.periods.lease) this.#lapsed = false
  }

  /** Extends a lease that still runs, as if a beat had landed at `mark`. */
  extend(mark: Mark): void {
    if (this.valid()) this.#extended = mark
  }

  /** Ran out, or is about to. */
  lapse(): void {
    this.#lapsed = true
  }
}
