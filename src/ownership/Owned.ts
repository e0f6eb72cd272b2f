/** A connection that this instance owns, and what is written of it. */
import { OneAtATime } from "../domain/OneAtATime.js"
import type { ConnectionRecord } from "../domain/Record.js"
import type { Mark } from "../membership/Elapsed.js"
import type { Life } from "../membership/Lease.js"
import type { Version } from "../ports/StateStore.js"

/** A connection this instance owns, under one life and one epoch. */
export interface Owned {
  readonly id: string
  readonly epoch: number
  readonly life: Life
  /** as last written or adopted */
  readonly record: () => ConnectionRecord
  /** False once the record names another owner, became a tombstone, or the life has ended: stop acting for it. */
  readonly owned: () => boolean
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

export class OwnedState implements Owned {
  /** it is being removed: nothing else is written any more */
  removing = false
  /** its record names the target of a move: whatever we wrote now, the claim would lose to */
  offered = false
  /** noted, not yet written */
  dirty = false
  /** when the record was written behind last; the creation does not count */
  notedAt: Mark | undefined = undefined
  /** since when its trial is looked after: until that is over its status is not written behind; undefined: it is not */
  triedSince: Mark | undefined = undefined
  /** one write of a record at a time */
  readonly lock = new OneAtATime()

  #letGo = false
  #pending: RecordChange | undefined = undefined
  #lazy: (() => RecordChange) | undefined = undefined

  constructor(
    readonly life: Life,
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
  readonly owned = (): boolean => !this.#letGo && !this.life.ended()

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
export interface Handed {
  readonly owned: Owned
  readonly from: string
  /** the record as the former owner left it */
  readonly before: ConnectionRecord
}

/** One whose owner has ended. `restart`: it was a former life of this instance. */
export interface Claimed extends Handed {
  readonly reason: "restart" | "dead" | "left"
}
