/** Reading and writing what stands under a connection's key. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { StateStoreUnavailable } from "../../domain/Errors.js"
import {
  type ConnectionRecord,
  decodeStored,
  encodeRecord,
  encodeTombstone,
  isTombstone,
  names,
  type Tombstone
} from "../../domain/stored/ConnectionRecord.js"
import { connectionKey } from "../../domain/stored/Keys.js"
import type { Incarnation } from "../../membership/lease/Lease.js"
import type { ValueTooLarge, Version, Versioned } from "../../ports/StateStore.js"
import { type GuardedWrite, type Outcome, put } from "../../state/GuardedWrite.js"
import type { OwnedConnection, OwnedConnectionState } from "./OwnedConnection.js"
import type { StoreContext } from "./StoreContext.js"

/** How long a removed connection's epoch is remembered: some stores let a stale version re-create a deleted key. */
export const TOMBSTONE_TTL = Duration.hours(1)

export type Stored = ConnectionRecord | Tombstone

export interface Found {
  readonly stored: Stored | undefined
  readonly version: Version | undefined
}

export const decode = (id: string, found: Option.Option<Versioned>): Effect.Effect<Found, StateStoreUnavailable> =>
  Option.isNone(found)
    ? Effect.succeed({ stored: undefined, version: undefined })
    : Effect.map(decodeStored(id, found.value.value), (stored) => ({ stored, version: found.value.version }))

export const read = (context: StoreContext, id: string): Effect.Effect<Found, StateStoreUnavailable> =>
  Effect.flatMap(context.store.get(connectionKey(id)), (found) => decode(id, found))

export const tombstone = (context: StoreContext, id: string, epoch: number): Tombstone => ({
  id,
  tombstone: true,
  epoch,
  nonce: "",
  removedAt: context.elapsed.now(),
  unknown: {}
})

export type How = Pick<GuardedWrite, "patient"> & Partial<Pick<GuardedWrite, "abandoned" | "onTrouble">>

/** One guarded write under the lease of `life`; a tombstone has its time to live. */
export const write = (
  context: StoreContext,
  life: Incarnation,
  expected: Version | undefined,
  value: Stored,
  how: How
): Effect.Effect<Outcome, StateStoreUnavailable | ValueTooLarge> =>
  Effect.suspend(() => {
    context.open++
    return put(context.store, {
      key: connectionKey(value.id),
      expected,
      value: (nonce) => (isTombstone(value) ? encodeTombstone({ ...value, nonce }) : encodeRecord({ ...value, nonce })),
      ...(isTombstone(value) && { ttl: TOMBSTONE_TTL }),
      mayWrite: life.valid,
      abandoned: life.ended,
      stands: context.membership.check(life),
      ...how
    })
  }).pipe(Effect.ensuring(Effect.sync(() => context.open--)))

/** Stops owning, because the store says so, and tells the code that acts for it. */
export const disown = (context: StoreContext, owned: OwnedConnectionState): void => {
  owned.letGo()
  if (context.owned.get(owned.id) !== owned) return
  context.owned.delete(owned.id)
  if (context.tenure?.life === owned.life) context.tenure.pages.drop(owned.id)
  context.disowned.tell(owned)
}

/** Stops owning without a word to the store. */
export const release = (context: StoreContext, owned: OwnedConnection): void => {
  const state = context.owned.get(owned.id)
  if (state !== owned) return
  state.letGo()
  context.owned.delete(owned.id)
}

/**
 * The owner writes its record, one write at a time. Another writer's version that still names this instance, its incarnation
 * and its epoch is adopted; any other ends the ownership, and the answer is false.
 */
export const rewrite = (
  context: StoreContext,
  owned: OwnedConnectionState,
  next: (current: ConnectionRecord) => Stored,
  how: How
): Effect.Effect<boolean, StateStoreUnavailable | ValueTooLarge> =>
  Effect.gen(function* () {
    while (owned.isOwned()) {
      const value = next(owned.current)
      const outcome = yield* write(context, owned.life, owned.version, value, how)
      if (outcome._tag === "Written") {
        owned.version = outcome.version
        if (!isTombstone(value)) owned.current = value
        return true
      }
      const { stored, version } = yield* decode(owned.id, outcome.current)
      const me = { id: context.instanceId, incarnation: owned.life.incarnation, epoch: owned.epoch }
      if (stored !== undefined && version !== undefined && !isTombstone(stored) && names(stored, me)) {
        owned.current = stored
        owned.version = version
        continue
      }
      // a store that came back empty ends the incarnation, and what it held is created anew
      if (stored === undefined && !(yield* context.membership.check(owned.life))) return false
      disown(context, owned)
      return stored !== undefined && isTombstone(stored) && isTombstone(value)
    }
    return false
  }).pipe((change) => owned.lock.run(change))
