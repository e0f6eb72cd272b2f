/** A connection that this instance owns, and what is written of it. */
import { Mutex } from "../../common/Mutex.js"
import type { Instant } from "../../common/SuspendAwareClock.js"
import type { ConnectionRecord } from "../../domain/stored/ConnectionRecord.js"
import type { Incarnation } from "../../membership/lease/Lease.js"
import type { Version } from "../../ports/StateStore.js"

/** A connection this instance owns, under one incarnation and one epoch. */
export interface OwnedConnection {
  /** of the connection */
  readonly id: string
  /** of this ownership: greater than under any owner before */
  readonly epoch: number
  /** the incarnation that owns it */
  readonly life: Incarnation
  /** as last written or adopted */
  readonly record: () => ConnectionRecord
  /**
   * False once the record names another owner, became a tombstone, or the incarnation has ended: stop acting for it.
   */
  readonly isOwned: () => boolean
}

/** The part of a record that its owner changes after creation. */
export type RecordChange = Partial<
  Pick<
    ConnectionRecord,
    | "status"
    | "tags"
    | "topic"
    | "spec"
    | "connectedAt"
    | "lastFrameAt"
    | "lastError"
    | "lastCloseCode"
    | "last"
    | "trial"
  >
>

export class OwnedConnectionState implements OwnedConnection {
  /** it is being removed: nothing else is written any more */
  removing = false
  /** its record names the target of a move: whatever we wrote now, the claim would lose to */
  offered = false
  /** noted, not yet written */
  dirty = false
  /** when the record was written behind last; the creation does not count */
  notedAt: Instant | undefined = undefined
  /** since when its trial is looked after: until that is over its status is not written behind; undefined: it is not */
  triedSince: Instant | undefined = undefined
  /** one write of a record at a time */
  readonly lock = new Mutex()

  #letGo = false
  #pending: RecordChange | undefined = undefined
  #lazy: (() => RecordChange) | undefined = undefined

  constructor(
    readonly life: Incarnation,
    public current: ConnectionRecord,
    public version: Version
  ) {}

  get id(): string {
    return this.current.id
  }
  get epoch(): number {
    return this.current.epoch
  }
  readonly record = (): ConnectionRecord => this.current
  readonly isOwned = (): boolean => !this.#letGo && !this.life.ended()

  letGo(): void {
    this.#letGo = true
  }

  /** Keeps the change for the next write behind; asked for its values then, or when another one follows it. */
  note(change: () => RecordChange): void {
    if (this.#lazy !== undefined && this.#lazy !== change) this.#pending = { ...this.#pending, ...this.#lazy() }
    this.#lazy = change
    this.dirty = true
  }

  /** What is noted, and forgets it; undefined when the record says all of it already. */
  takeNoted(): RecordChange | undefined {
    const change: RecordChange = { ...this.#pending, ...this.#lazy?.() }
    this.#pending = undefined
    this.#lazy = undefined
    this.dirty = false
    const fields = Object.keys(change) as Array<keyof RecordChange>
    return fields.some((field) => !same(change[field], this.current[field])) ? change : undefined
  }

  /** A write behind that came to nothing: what was noted meanwhile is newer. */
  putBack(change: RecordChange): void {
    this.#pending = { ...change, ...this.#pending }
    this.dirty = true
  }
}

const same = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a) === JSON.stringify(b)

/** A connection of another owner, claimed with a higher epoch. `from` names the former owner. */
export interface ClaimedConnection {
  readonly owned: OwnedConnection
  readonly from: string
  /** the record as the former owner left it */
  readonly before: ConnectionRecord
}

/** One whose owner has ended. `restart`: it was a former incarnation of this instance. */
export interface OrphanClaim extends ClaimedConnection {
  readonly reason: "restart" | "dead" | "left"
}
