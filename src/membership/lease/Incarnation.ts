/** The state of one incarnation: its lease, as marks and comparisons, and what ends it. */
import * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { Instant, SuspendAwareClock } from "../../common/SuspendAwareClock.js"
import type { HeartbeatStatus } from "../../domain/stored/InstanceRecord.js"
import type { Version } from "../../ports/StateStore.js"
import type { Incarnation } from "./Lease.js"
import type { LeaseTimings } from "./LeaseTimings.js"

/** The instances that could end this incarnation: its lease reaches as far as the least that they grant. */
type Others = () => ReadonlyArray<{ readonly incarnation: string }>

/** Why an incarnation ended. `emptied`: the store came back without its record. */
export type IncarnationEnd = "fenced" | "emptied" | "left"

export class IncarnationState implements Incarnation {
  /** of its heartbeat record, as last written or read */
  version: Version | undefined = undefined
  beat = 0
  status: "alive" | "draining" = "alive"
  /** the index names it, work may begin */
  joined = false
  /** when it joined, milliseconds of the monotonic clock */
  joinedAt: number | undefined = undefined
  #endedBy: IncarnationEnd | undefined = undefined
  readonly #end = Deferred.unsafeMake<void>(FiberId.none)
  readonly #leaving = Deferred.unsafeMake<void>(FiberId.none)
  /** what the listeners were told last */
  told: "nothing" | "held" | "lost" = "nothing"

  #landed: Instant | undefined = undefined
  #alone: Instant | undefined = undefined
  /** by incarnation: when this instance asked a peer that then promised to count its silence anew */
  readonly #grants = new Map<string, Instant>()
  #missed: Instant | undefined = undefined
  #lapsed = false
  #laidDown = false

  constructor(
    readonly incarnation: string,
    readonly elapsed: SuspendAwareClock,
    readonly periods: LeaseTimings,
    readonly others: Others = () => []
  ) {}

  readonly ended = (): boolean => this.#endedBy !== undefined
  readonly endedBy = (): IncarnationEnd | undefined => this.#endedBy
  readonly awaitEnd = Deferred.await(this.#end)
  /** Waits until the record says that this instance drains or has left, or the incarnation has ended. */
  readonly awaitLeaving = Deferred.await(this.#leaving)

  /** Never acts again; false: it has ended already. */
  end(reason: IncarnationEnd): boolean {
    if (this.#endedBy !== undefined) return false
    this.#endedBy = reason
    Deferred.unsafeDone(this.#end, Exit.void)
    Deferred.unsafeDone(this.#leaving, Exit.void)
    return true
  }

  /** The record says this now, as far as is known. */
  wrote(status: HeartbeatStatus): void {
    if (status !== "alive") Deferred.unsafeDone(this.#leaving, Exit.void)
  }

  readonly remaining = (): number => {
    const mark = this.#mark()
    return mark === undefined || this.#lapsed ? 0 : this.periods.lease - this.elapsed.since(mark)
  }

  readonly valid = (): boolean => {
    if (this.#endedBy !== undefined || this.#laidDown || this.#lapsed || this.#landed === undefined) return false
    if (this.remaining() > 0) return true
    this.#lapsed = true
    return false
  }

  readonly storeAway = (): boolean =>
    // an attempt ends within half an interval, and the next one follows: what is older was seen before a freeze
    this.#missed !== undefined && this.elapsed.since(this.#missed) < this.periods.interval

  /** The attempt that was sent just after `mark` ended without the store. */
  miss(mark: Instant): void {
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
  renew(mark: Instant): void {
    if (this.#landed !== undefined && mark.monotonic < this.#landed.monotonic) return
    this.#landed = mark
    if (this.#alone !== undefined && this.#alone.monotonic <= mark.monotonic) this.#alone = undefined
    for (const [incarnation, grant] of this.#grants) {
      if (grant.monotonic <= mark.monotonic) this.#grants.delete(incarnation)
    }
    if (this.elapsed.since(mark) < this.periods.lease) this.#lapsed = false
  }

  /**
   * No instance is known that could end this incarnation: a lease that still runs is extended, as if a beat had landed
   * at `mark`.
   */
  extendAlone(mark: Instant): void {
    if (this.valid()) this.#alone = mark
  }

  /** This peer counts this instance's silence from after `mark` on. Extends a lease that still runs as far as that peer goes. */
  grant(incarnation: string, mark: Instant): void {
    const before = this.#grants.get(incarnation)
    if (!this.valid() || (before !== undefined && before.monotonic >= mark.monotonic)) return
    this.#grants.set(incarnation, mark)
  }

  /**
   * What the lease counts from: the last beat, or the least that all instances that could end this incarnation have
   * granted since.
   */
  #mark(): Instant | undefined {
    const landed = this.#landed
    if (landed === undefined || (this.#alone === undefined && this.#grants.size === 0)) return landed
    const others = this.others()
    if (others.length === 0) return this.#latest(landed)
    let least: Instant | undefined
    for (const { incarnation } of others) {
      const grant = this.#grants.get(incarnation)
      if (grant === undefined) return landed
      if (least === undefined || grant.monotonic < least.monotonic) least = grant
    }
    return least
  }

  /** The peer that granted last and has gone since could not end this incarnation any more. */
  #latest(landed: Instant): Instant {
    let latest = this.#alone ?? landed
    for (const grant of this.#grants.values()) if (grant.monotonic > latest.monotonic) latest = grant
    return latest
  }

  /** Ran out, or is about to. */
  lapse(): void {
    this.#lapsed = true
  }
}
