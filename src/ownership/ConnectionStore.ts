/**
 * The connections of this instance in the state store: its pages, and one record each (architecture, section 2: Creating,
 * Unknown outcomes, Status in the store, Removing, Joining and restart).
 *
 * One writer per page, writes grouped while one is in flight. Every guarded write carries a nonce and is settled by
 * reading back; each sending of it, the repeated ones too, happens under the lease of the life that began it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { StateStoreUnavailable } from "../domain/Errors.js"
import type { ConnectionRecord } from "../domain/Record.js"
import type { Life } from "../membership/Lease.js"

/** A connection this instance owns, under one life and one epoch. */
export interface Owned {
  readonly id: string
  readonly epoch: number
  readonly life: Life
  /** as last written or adopted */
  readonly record: () => ConnectionRecord
  /** False once the record named somebody else, became a tombstone, or the life ended: stop acting for it. */
  readonly owned: () => boolean
}

/** The part of a record that its owner changes after creation. */
export type RecordChange = Partial<
  Pick<
    ConnectionRecord,
    "status" | "tags" | "topic" | "spec" | "connectedAt" | "lastFrameAt" | "lastError" | "lastCloseCode" | "last"
  >
>

/** What a create met. `exists`: the id has a record already (a repeated request_id); nothing was written. */
export type Created =
  | { readonly _tag: "Created"; readonly owned: Owned }
  | { readonly _tag: "Exists"; readonly record: ConnectionRecord }

/** A connection of a former life of this instance, claimed with a higher epoch. `from` names the former owner. */
export interface Claimed {
  readonly owned: Owned
  readonly from: string
  readonly reason: "restart" | "dead" | "left"
  /** the record as the former owner left it */
  readonly before: ConnectionRecord
}

export type NewConnection = Pick<
  ConnectionRecord,
  "id" | "spec" | "specHash" | "tags" | "topic" | "status" | "createdAt"
>

export class ConnectionStore extends Context.Tag("websocketmanager/ownership/ConnectionStore")<
  ConnectionStore,
  {
    /**
     * Page, then record (create-if-absent), then the lease again: two writes. An unknown outcome at the deadline is kept
     * when `keepUnknown` (a request_id: another instance may have answered success), else ended by a tombstone.
     */
    readonly create: (
      connection: NewConnection,
      options: { readonly keepUnknown: boolean }
    ) => Effect.Effect<Created, StateStoreUnavailable>
    /** The record of any connection, whoever owns it; none for a tombstone. */
    readonly read: (id: string) => Effect.Effect<Option.Option<ConnectionRecord>, StateStoreUnavailable>
    /** Writes the record now (tags, topic): done when it is in the store. */
    readonly update: (owned: Owned, change: RecordChange) => Effect.Effect<void, StateStoreUnavailable>
    /** Writes the record behind: coalesced, at most once in 5 seconds a connection. Synchronous, never fails. */
    readonly note: (owned: Owned, change: () => RecordChange) => void
    /** Tombstone, then off the page. While the store is away the answer is `outcome: "unknown"` and it goes on trying. */
    readonly remove: (owned: Owned) => Effect.Effect<void, StateStoreUnavailable>
    /** Stops owning without a word to the store (drain, fence): the record stays for whoever comes. */
    readonly release: (owned: Owned) => void
    /**
     * What a former life of this instance left, claimed one by one with a higher epoch. Runs once per life, after joining.
     */
    readonly claimOwn: Stream.Stream<Claimed>
    /** Writes all that is noted and not yet written. */
    readonly flush: Effect.Effect<void>
    /** Page ids and records the caller must know to be gone: calls back when a record no longer names this life. */
    readonly onDisowned: (listener: (owned: Owned) => void) => () => void
  }
>() {}
