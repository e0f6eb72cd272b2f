/**
 * What an id on the page of an incarnation that has ended needs (src/ownership/README.md, Taking over, 3: reconcile): a
 * tombstone, a claim, or nothing. Always by what the store says, never from memory: what this instance believes to own is no
 * proof.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { yieldToEventLoop } from "../../common/YieldToEventLoop.js"
import type { StateStoreUnavailable } from "../../domain/Errors.js"
import { type ConnectionRecord, decodeStored, isTombstone, names } from "../../domain/stored/ConnectionRecord.js"
import { decodeHeartbeat, hasEnded, type HeartbeatRecord } from "../../domain/stored/InstanceRecord.js"
import { connectionKey, instanceKey } from "../../domain/stored/Keys.js"
import type { Incarnation } from "../../membership/lease/Lease.js"
import type { ValueTooLarge, Version } from "../../ports/StateStore.js"
import type { OrphanClaim } from "../records/OwnedConnection.js"
import { disown, type How, type Stored, tombstone, write } from "../records/RecordWrites.js"
import type { PageTenure, StoreContext } from "../records/StoreContext.js"

/** Represents that no further try can settle an id: its record, or its owner's, is none that this version can read. */
export class UndecodableRecord extends Data.TaggedError("Unsettleable")<{ readonly cause: StateStoreUnavailable }> {}

/** What the store says of one id; `ended`: why its owner has, or that this very incarnation is the owner. */
export interface Observation {
  readonly id: string
  readonly stored: Stored | undefined
  readonly version: Version | undefined
  readonly ended: OrphanClaim["reason"] | "mine" | undefined
}

/** What is left to do. `Again`: something was in the way, look again later. */
export type Disposition = { readonly _tag: "Settled" } | { readonly _tag: "Mine" } | { readonly _tag: "Again" } | Orphan

export interface Orphan {
  readonly _tag: "Orphan"
  readonly record: ConnectionRecord
  readonly version: Version
  readonly reason: OrphanClaim["reason"]
}

/** Whose page it is. */
export interface EndedOwner {
  /** whether a handover to this incarnation comes to nothing now */
  readonly isIt: (target: { readonly id: string; readonly incarnation: string }) => boolean
  /** tombstones that were written again already, by version; so that one pass after the other does not repeat it */
  readonly renewed: Set<Version>
}

/** The former incarnations of this very instance. */
export const formerIncarnations = (context: StoreContext, tenure: PageTenure): EndedOwner => ({
  isIt: ({ id, incarnation }) => id === context.instanceId && incarnation !== tenure.life.incarnation,
  renewed: new Set()
})

const SETTLED: Disposition = { _tag: "Settled" }
const MINE: Disposition = { _tag: "Mine" }
const OBSERVE_AGAIN: Disposition = { _tag: "Again" }

/** Decoding this many keeps the event loop for a few milliseconds at most. */
const AT_A_STRETCH = 16

/**
 * The records of these ids, and after them the heartbeat records of their owners: two reads, however many they are. An owner
 * that had not ended then had not when its record was written.
 */
export const observe = (
  context: StoreContext,
  life: Incarnation,
  ids: ReadonlyArray<string>
): Effect.Effect<
  ReadonlyArray<readonly [id: string, seen: Either.Either<Observation, UndecodableRecord>]>,
  StateStoreUnavailable
> =>
  Effect.gen(function* () {
    const texts = yield* context.store.getMany(ids.map(connectionKey))
    const found: Array<Either.Either<Omit<Observation, "ended">, StateStoreUnavailable>> = []
    const owners = new Set<string>()
    for (const id of ids) {
      if (found.length % AT_A_STRETCH === 0) yield* yieldToEventLoop
      const text = texts.get(connectionKey(id))
      const seen: (typeof found)[number] =
        text === undefined
          ? Either.right({ id, stored: undefined, version: undefined })
          : Either.map(decodeStored(id, text.value), (stored) => ({ id, stored, version: text.version }))
      found.push(seen)
      const stored = Either.isRight(seen) ? seen.right.stored : undefined
      if (stored !== undefined && !isTombstone(stored) && stored.owner !== context.instanceId) owners.add(stored.owner)
    }
    const beats = owners.size === 0 ? new Map() : yield* context.store.getMany([...owners].map(instanceKey))
    const heartbeats = new Map(
      [...owners].map((owner) => {
        const text = beats.get(instanceKey(owner))
        return [owner, text === undefined ? Either.right(undefined) : decodeHeartbeat(owner, text.value)] as const
      })
    )
    return ids.map((id, i) => {
      const seen = Either.flatMap(found[i]!, (sight) => {
        const { stored } = sight
        if (stored === undefined || isTombstone(stored)) return Either.right({ ...sight, ended: undefined })
        const owner = heartbeats.get(stored.owner) ?? Either.right(undefined)
        return Either.map(owner, (record) => ({ ...sight, ended: endOf(context, life, stored, record) }))
      })
      return [id, Either.mapLeft(seen, (cause) => new UndecodableRecord({ cause }))] as const
    })
  })

/** Why the owner of this record has ended; undefined: it has not. */
export const endOf = (
  context: StoreContext,
  life: Incarnation,
  record: ConnectionRecord,
  owner: HeartbeatRecord | undefined
): Observation["ended"] => {
  if (record.owner === context.instanceId) return record.incarnation === life.incarnation ? "mine" : "restart"
  if (!hasEnded(owner, record.incarnation)) return undefined
  return owner?.status === "left" && owner.incarnation === record.incarnation ? "left" : "dead"
}

/** The same of one id. */
export const observeOne = (
  context: StoreContext,
  life: Incarnation,
  id: string
): Effect.Effect<Observation, StateStoreUnavailable | UndecodableRecord> =>
  Effect.gen(function* () {
    const found = yield* context.store.get(connectionKey(id))
    const stored = Option.isNone(found)
      ? undefined
      : yield* Effect.mapError(decodeStored(id, found.value.value), (cause) => new UndecodableRecord({ cause }))
    const version = Option.getOrUndefined(found)?.version
    if (stored === undefined || isTombstone(stored)) return { id, stored, version, ended: undefined }
    if (stored.owner === context.instanceId)
      return { id, stored, version, ended: endOf(context, life, stored, undefined) }
    const text = yield* context.store.get(instanceKey(stored.owner))
    const owner = Option.isNone(text)
      ? undefined
      : yield* Effect.mapError(
          decodeHeartbeat(stored.owner, text.value.value),
          (cause) => new UndecodableRecord({ cause })
        )
    return { id, stored, version, ended: endOf(context, life, stored, owner) }
  })

/** Does what can be done at once, and says what is left. */
export const reconcile = (
  context: StoreContext,
  tenure: PageTenure,
  former: EndedOwner,
  { ended, id, stored, version }: Observation,
  how: How
): Effect.Effect<Disposition, StateStoreUnavailable | ValueTooLarge> =>
  Effect.suspend(() => {
    const offered = stored !== undefined && !isTombstone(stored) && stored.handover !== undefined ? stored : undefined
    // Withdraw the offer even when we already own the connection. A delayed claim by the victim would take it back, and no
    // instance watches that one any more.
    if (offered?.handover !== undefined && former.isIt(offered.handover) && (ended === undefined || ended === "mine")) {
      return Effect.map(write(context, tenure.life, version, { ...offered, handover: undefined }, how), ({ _tag }) =>
        _tag === "Lost" ? OBSERVE_AGAIN : ended === "mine" ? MINE : SETTLED
      )
    }
    if (ended === "mine") return Effect.succeed(MINE)
    if (!believesNot(context, tenure, id, stored)) return Effect.succeed(OBSERVE_AGAIN)
    if (stored === undefined || isTombstone(stored))
      return writeTombstone(context, tenure, former, id, stored, version, how)
    if (ended !== undefined) {
      return Effect.succeed<Disposition>({ _tag: "Orphan", record: stored, version: version!, reason: ended })
    }
    return Effect.succeed(SETTLED)
  })

/** A late write of an owner that has ended must find a tombstone, and one that lasts. */
const writeTombstone = (
  context: StoreContext,
  tenure: PageTenure,
  former: EndedOwner,
  id: string,
  stored: Extract<Stored, { tombstone: true }> | undefined,
  version: Version | undefined,
  how: How
): Effect.Effect<Disposition, StateStoreUnavailable | ValueTooLarge> =>
  Effect.suspend(() => {
    if (version !== undefined && former.renewed.has(version)) return Effect.succeed(SETTLED)
    const end = stored === undefined ? tombstone(context, id, 0) : { ...stored, removedAt: context.elapsed.now() }
    return Effect.map(write(context, tenure.life, version, end, how), (written) => {
      if (written._tag === "Lost") return OBSERVE_AGAIN
      former.renewed.add(written.version)
      const held = context.owned.get(id)
      if (held !== undefined && !held.removing) disown(context, held)
      return SETTLED
    })
  })

/**
 * The store says that another instance owns it, or none. If this instance believes that it owns the connection, it learns late that
 * it does not, and lets go. False: what was read is older than what this instance has done since.
 */
const believesNot = (context: StoreContext, tenure: PageTenure, id: string, stored: Stored | undefined): boolean => {
  const held = context.owned.get(id)
  if (held === undefined || stored === undefined) return true
  if (held.removing || stored.epoch < held.epoch) return false
  if (
    isTombstone(stored) ||
    !names(stored, { id: context.instanceId, incarnation: tenure.life.incarnation, epoch: held.epoch })
  ) {
    disown(context, held)
  }
  return true
}
