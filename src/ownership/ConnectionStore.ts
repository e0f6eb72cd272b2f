/**
 * The connections of this instance in the state store: its pages, and one record each (architecture, section 2: Creating,
 * Unknown outcomes, Status in the store, Removing, Joining and restart).
 *
 * One writer per page, writes grouped while one is in flight. Every guarded write carries a nonce and is settled by
 * reading back; each sending of it, the repeated ones too, happens under the lease of the life that began it.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Settings } from "../config/Settings.js"
import { InvalidRequest, StateStoreUnavailable } from "../domain/Errors.js"
import { type ConnectionRecord, isTombstone } from "../domain/Record.js"
import { bounded } from "../membership/Bounded.js"
import * as Elapsed from "../membership/Elapsed.js"
import { InstanceId } from "../membership/InstanceId.js"
import { Lease } from "../membership/Lease.js"
import { Membership } from "../membership/Membership.js"
import { Essentials } from "../observability/Essentials.js"
import { StateStore } from "../ports/StateStore.js"
import { claimOwn } from "./Claiming.js"
import { claimOne } from "./ClaimingOne.js"
import { create, type Created, type CreateOptions, type NewConnection } from "./Creating.js"
import { claimHandover, offer, takeBack } from "./Offering.js"
import { type Claimed, type Handed, type Owned, OwnedState, type RecordChange } from "./Owned.js"
import { make as makeReclaimer, Reclaimer } from "./Reclaimer.js"
import { read, release, rewrite } from "./Records.js"
import { ANSWER_WITHIN, remove } from "./Removing.js"
import type { Room } from "./Room.js"
import { followLives } from "./Tenures.js"
import { Turns } from "./Turns.js"
import * as WriteBehind from "./WriteBehind.js"

export type { Owned, RecordChange }

export class ConnectionStore extends Context.Tag("websocketmanager/ownership/ConnectionStore")<
  ConnectionStore,
  {
    /**
     * Page, then record (create-if-absent), then the lease again: two writes. An unknown outcome at the deadline is kept
     * when `keepUnknown` (a request_id: another instance may have answered success), else ended by a tombstone; so is
     * what was created for a caller that was interrupted. InvalidRequest: the record would be over 256 KiB.
     */
    readonly create: (
      connection: NewConnection,
      options: CreateOptions
    ) => Effect.Effect<Created, StateStoreUnavailable | InvalidRequest>
    /** The record of any connection, of whichever owner; none for a tombstone. */
    readonly read: (id: string) => Effect.Effect<Option.Option<ConnectionRecord>, StateStoreUnavailable>
    /** Writes the record now (tags, topic): done when it is in the store. InvalidRequest: it would be over its limit. */
    readonly update: (owned: Owned, change: RecordChange) => Effect.Effect<void, StateStoreUnavailable | InvalidRequest>
    /** Writes the record behind: coalesced, at most once in 5 seconds a connection. Synchronous, never fails. */
    readonly note: (owned: Owned, change: () => RecordChange) => void
    /** It is being tried, by its record: its status is not written behind until it is `harmless`, for a while at most. */
    readonly tries: (owned: Owned) => void
    /** Trying it has done no harm: said with the next write behind, which is that of its status. */
    readonly harmless: (owned: Owned) => void
    /**
     * Tombstone, then off the page. While the store is away the answer is `outcome: "unknown"` and it goes on trying.
     * `closing`, its socket's, comes first; a life that begins in that time does not claim it.
     */
    readonly remove: (owned: Owned, closing?: Effect.Effect<void>) => Effect.Effect<void, StateStoreUnavailable>
    /** Stops owning without a write to the store (drain, fence): the record stays for the next owner. */
    readonly release: (owned: Owned) => void
    /**
     * What a former life of this instance left, claimed one by one with a higher epoch, and what it held when the store came
     * back empty, created anew. Run it once per life, when its lease is held; it ends when all of it is settled.
     */
    readonly claimOwn: Stream.Stream<Claimed>
    /**
     * Claims one connection whose owner has ended: onto our page, then its record with a higher epoch. None: its owner lives
     * (this very life too), it is removed, or there is none. Fails when it cannot be told, within 5 seconds; what is
     * claimed after all, after the caller has gone, goes to `onLate`; without it the next call claims it.
     */
    readonly claim: (
      id: string,
      onLate?: (claimed: Claimed) => void
    ) => Effect.Effect<Option.Option<Claimed>, StateStoreUnavailable>
    /**
     * Names the target of a planned move in the record, with what has changed besides; done when that is in the store, and
     * carried through when the caller has gone. From then on the target may claim it at any moment (`onDisowned` tells), and
     * its status is not written behind. False: it is not owned here any more.
     */
    readonly offer: (
      owned: Owned,
      target: { readonly id: string; readonly incarnation: string },
      change?: () => RecordChange
    ) => Effect.Effect<boolean, StateStoreUnavailable>
    /**
     * Takes an offer back, at the same epoch: a claim that is still on its way fails. False: the target has claimed it, or it
     * is gone otherwise. Goes on until that is clear: bound it by a time-out.
     */
    readonly takeBack: (owned: Owned) => Effect.Effect<boolean, StateStoreUnavailable>
    /** The target has said that the record names it: stops owning, and drops the id from the page. */
    readonly handedOver: (owned: Owned) => void
    /**
     * Claims a connection that is offered to this life at this epoch: onto my page, then its record with a higher epoch. None:
     * the offer stands no more. Whether the instance takes work is the caller's to ask.
     */
    readonly claimHandover: (id: string, epoch: number) => Effect.Effect<Option.Option<Handed>, StateStoreUnavailable>
    /** Writes all that is noted and not yet written. */
    readonly flush: Effect.Effect<void>
    /** Page ids and records the caller must know to be gone: calls back when a record no longer names this life. */
    readonly onDisowned: (listener: (owned: Owned) => void) => () => void
  }
>() {
  /** Both over one set of pages. Started after Membership, stopped before it: their writes need the lease. */
  static readonly layer: Layer.Layer<
    ConnectionStore | Reclaimer,
    never,
    StateStore | InstanceId | Lease | Membership | Settings | Essentials
  > = Layer.scopedContext(
    Effect.map(
      Effect.suspend(() => make),
      ({ reclaimer, store }) => Context.make(ConnectionStore, store).pipe(Context.add(Reclaimer, reclaimer))
    )
  )
}

const make = Effect.gen(function* () {
  const lease = yield* Lease
  const room: Room = {
    store: yield* bounded(yield* StateStore),
    membership: yield* Membership,
    essentials: yield* Essentials,
    instanceId: (yield* InstanceId).id,
    elapsed: yield* Elapsed.make,
    scope: yield* Effect.scope,
    owned: new Map(),
    doomed: new Set(),
    busy: new Map(),
    disowned: new Set(),
    creates: new Turns(32),
    open: 0,
    tenure: undefined
  }
  const writeBehind = WriteBehind.make(room)
  yield* Effect.forkScoped(room.essentials.essential("writing behind", writeBehind.loop))
  yield* followLives(room, lease)
  /** Under the present life: what a former one left stays where it is until it has been read. */
  const empty = (): boolean => {
    const { open, tenure } = room
    return open === 0 && tenure?.life === lease.life() && tenure.pages.empty()
  }
  room.membership.holds({
    connections: () => room.owned.size,
    empty,
    expire: Effect.suspend(() => room.tenure?.pages.expire ?? Effect.void)
  })

  /** Only what this store handed out, and still holds, is written. */
  const mine = (owned: Owned): OwnedState | undefined => {
    const state = room.owned.get(owned.id)
    return state === owned ? state : undefined
  }

  const store = ConnectionStore.of({
    create: (connection, options) => create(room, connection, options),
    read: (id) =>
      Effect.suspend(() => {
        // it is being removed here, and nothing brings it back: the store may be long in saying so
        if (room.doomed.has(id)) return Effect.succeed(Option.none())
        return Effect.map(read(room, id), ({ stored }) =>
          stored === undefined || isTombstone(stored) ? Option.none() : Option.some(stored)
        )
      }),
    update: (owned, change) => update(room, mine(owned), change),
    note: (owned, change) => {
      const state = mine(owned)
      if (state !== undefined) writeBehind.note(state, change)
    },
    tries: (owned) => {
      const state = mine(owned)
      if (state !== undefined) state.triedSince = room.elapsed.mark()
    },
    harmless: (owned) => {
      const state = mine(owned)
      if (state !== undefined) writeBehind.harmless(state)
    },
    remove: (owned, closing = Effect.void) => {
      const state = mine(owned)
      if (state !== undefined) return remove(room, state, closing)
      // before the next life has looked at what this one left
      if (owned.life.ended()) room.doomed.add(owned.id)
      return Effect.zipRight(
        closing,
        new StateStoreUnavailable({ outcome: "unknown", reason: "this instance was fenced meanwhile" })
      )
    },
    release: (owned) => release(room, owned),
    claimOwn: Stream.unwrap(
      Effect.flatMap(lease.awaitHeld, () =>
        Effect.sync(() => (room.tenure === undefined ? Stream.empty : claimOwn(room, room.tenure)))
      )
    ),
    claim: (id, onLate) => claimOne(room, id, onLate),
    offer: (owned, target, change = () => ({})) => offer(room, mine(owned), target, change),
    takeBack: (owned) => takeBack(room, mine(owned)),
    handedOver: (owned) => {
      if (mine(owned) === undefined) return
      release(room, owned)
      if (room.tenure?.life === owned.life) room.tenure.pages.drop(owned.id)
    },
    claimHandover: (id, epoch) => claimHandover(room, id, epoch),
    flush: writeBehind.flush,
    onDisowned: (listener) => {
      room.disowned.add(listener)
      return () => {
        room.disowned.delete(listener)
      }
    }
  })
  return { store, reclaimer: makeReclaimer(room, lease, yield* Settings) }
})

/** A write that its caller waits for; it is carried through, also when the caller has gone. */
const update = (
  room: Room,
  owned: OwnedState | undefined,
  change: RecordChange
): Effect.Effect<void, StateStoreUnavailable | InvalidRequest> =>
  Effect.gen(function* () {
    if (owned === undefined || owned.removing || !owned.life.valid()) {
      return yield* new StateStoreUnavailable({ reason: "this instance may not write it now" })
    }
    const answer = yield* Deferred.make<boolean, StateStoreUnavailable | InvalidRequest>()
    yield* rewrite(room, owned, (record) => ({ ...record, ...change }), { patient: false }).pipe(
      Effect.catchTag("ValueTooLarge", (error) => new InvalidRequest({ field: "", reason: error.message })),
      Effect.intoDeferred(answer),
      Effect.forkIn(room.scope)
    )
    const written = yield* Deferred.await(answer).pipe(
      Effect.timeoutFail({
        duration: ANSWER_WITHIN,
        onTimeout: () => new StateStoreUnavailable({ outcome: "unknown", reason: "the store does not answer" })
      })
    )
    if (!written) return yield* new StateStoreUnavailable({ reason: "this instance does not own it any more" })
  })
