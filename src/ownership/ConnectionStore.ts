/**
 * The connections of this instance in the state store: its pages, and one record each (src/ownership/README.md, Creating;
 * Unknown outcomes; Status in the store; Removing; Joining and restart).
 *
 * One writer per page, writes grouped while one is in flight. Every guarded write carries a nonce and is settled by
 * reading back; each sending of it, the repeated ones too, happens under the lease of the incarnation that began it.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Listeners } from "../common/Listeners.js"
import { FifoSemaphore } from "../common/FifoSemaphore.js"
import * as SuspendAwareClock from "../common/SuspendAwareClock.js"
import { Settings } from "../config/Settings.js"
import { InvalidRequest, StateStoreUnavailable } from "../domain/Errors.js"
import { type ConnectionRecord, isTombstone } from "../domain/stored/ConnectionRecord.js"
import { InstanceId } from "../membership/InstanceId.js"
import { Lease } from "../membership/lease/Lease.js"
import { Membership } from "../membership/Membership.js"
import { Essentials } from "../observability/Essentials.js"
import { StateStore } from "../ports/StateStore.js"
import { bounded } from "../state/BoundedStore.js"
import { create, type Created, type CreateOptions, type NewConnection } from "./operations/Create.js"
import { remove, STORE_ANSWER_TIMEOUT } from "./operations/Remove.js"
import { make as makeReclaimer, Reclaimer } from "./Reclaimer.js"
import {
  type ClaimedConnection,
  type OrphanClaim,
  type OwnedConnection,
  OwnedConnectionState,
  type RecordChange
} from "./records/OwnedConnection.js"
import { followIncarnations } from "./records/PageTenures.js"
import { PendingRemovals } from "./records/PendingRemovals.js"
import { read, release, rewrite } from "./records/RecordWrites.js"
import type { StoreContext } from "./records/StoreContext.js"
import * as WriteBehind from "./records/WriteBehind.js"
import { claimOne } from "./takeover/ClaimOnRequest.js"
import { claimHandover, offerHandover, takeBack } from "./takeover/Handover.js"
import { claimOwn } from "./takeover/RestartRecovery.js"

export type { OwnedConnection as Owned, RecordChange }

/** The records of connections: this instance's, and what it may take over from others. */
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
    readonly update: (
      owned: OwnedConnection,
      change: RecordChange
    ) => Effect.Effect<void, StateStoreUnavailable | InvalidRequest>
    /** Writes the record behind: coalesced, at most once in 5 seconds a connection. Synchronous, never fails. */
    readonly note: (owned: OwnedConnection, change: () => RecordChange) => void
    /** It is being tried, by its record: its status is not written behind until it is `harmless`, for a while at most. */
    readonly tries: (owned: OwnedConnection) => void
    /** Trying it has done no harm: said with the next write behind, which is that of its status. */
    readonly harmless: (owned: OwnedConnection) => void
    /**
     * Tombstone, then off the page. While the store is away the answer is `outcome: "unknown"` and it goes on trying.
     * `closing`, its socket's, comes first; an incarnation that begins in that time does not claim it.
     */
    readonly remove: (
      owned: OwnedConnection,
      closing?: Effect.Effect<void>
    ) => Effect.Effect<void, StateStoreUnavailable>
    /** Stops owning without a write to the store (drain, fence): the record stays for the next owner. */
    readonly release: (owned: OwnedConnection) => void
    /**
     * What a former incarnation of this instance left, claimed one by one with a higher epoch. What it held when the store
     * came back empty is created anew. Run it once per incarnation, when its lease is held; it ends when all of it is
     * settled.
     */
    readonly claimOwn: Stream.Stream<OrphanClaim>
    /**
     * Claims one connection whose owner has ended: onto our page, then its record with a higher epoch. None: its owner lives
     * (this very incarnation too), it is removed, or there is none. Fails when it cannot be told, within 5 seconds;
     * what is claimed after all, after the caller has gone, goes to `onLate`; without it the next call claims it.
     */
    readonly claim: (
      id: string,
      onLate?: (claimed: OrphanClaim) => void
    ) => Effect.Effect<Option.Option<OrphanClaim>, StateStoreUnavailable>
    /**
     * Names the target of a planned move in the record, with what has changed besides; done when that is in the store, and
     * carried through when the caller has gone. From then on the target may claim it at any moment (`onDisowned` tells), and
     * its status is not written behind. False: it is not owned here any more.
     */
    readonly offerHandover: (
      owned: OwnedConnection,
      target: { readonly id: string; readonly incarnation: string },
      change?: () => RecordChange
    ) => Effect.Effect<boolean, StateStoreUnavailable>
    /**
     * Takes an offer back, at the same epoch: a claim that is still on its way fails. False: the target has claimed it, or it
     * is gone otherwise. Goes on until that is clear: bound it by a time-out.
     */
    readonly takeBack: (owned: OwnedConnection) => Effect.Effect<boolean, StateStoreUnavailable>
    /** The target has said that the record names it: stops owning, and drops the id from the page. */
    readonly handedOver: (owned: OwnedConnection) => void
    /**
     * Claims a connection that is offered to this incarnation at this epoch: onto our page, then its record with a higher
     * epoch. None: the offer stands no more. Whether the instance takes work is the caller's to ask.
     */
    readonly claimHandover: (
      id: string,
      epoch: number
    ) => Effect.Effect<Option.Option<ClaimedConnection>, StateStoreUnavailable>
    /** Writes all that is noted and not yet written. */
    readonly flush: Effect.Effect<void>
    /**
     * Page ids and records the caller must know to be gone: calls back when a record no longer names this incarnation.
     */
    readonly onDisowned: (listener: (owned: OwnedConnection) => void) => () => void
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
  const context: StoreContext = {
    store: yield* bounded(yield* StateStore),
    membership: yield* Membership,
    essentials: yield* Essentials,
    instanceId: (yield* InstanceId).id,
    elapsed: yield* SuspendAwareClock.make,
    scope: yield* Effect.scope,
    owned: new Map(),
    pendingRemoval: new PendingRemovals(),
    busy: new Map(),
    disowned: new Listeners(),
    creates: new FifoSemaphore(32),
    open: 0,
    tenure: undefined
  }
  const writeBehind = WriteBehind.make(context)
  yield* Effect.forkScoped(context.essentials.essential("writing behind", writeBehind.loop))
  yield* followIncarnations(context, lease)
  /** Under the present incarnation: what a former one left stays where it is until it has been read. */
  const empty = (): boolean => {
    const { open, tenure } = context
    return open === 0 && tenure?.life === lease.life() && tenure.pages.empty()
  }
  context.membership.holds({
    connections: () => context.owned.size,
    empty,
    expire: Effect.suspend(() => context.tenure?.pages.expire ?? Effect.void)
  })

  /** Only what this store handed out, and still holds, is written. */
  const mine = (owned: OwnedConnection): OwnedConnectionState | undefined => {
    const state = context.owned.get(owned.id)
    return state === owned ? state : undefined
  }

  const store = ConnectionStore.of({
    create: (connection, options) => create(context, connection, options),
    read: (id) =>
      Effect.suspend(() => {
        // it is being removed here, and nothing brings it back: the store may be long in saying so
        if (context.pendingRemoval.has(id)) return Effect.succeed(Option.none())
        return Effect.map(read(context, id), ({ stored }) =>
          stored === undefined || isTombstone(stored) ? Option.none() : Option.some(stored)
        )
      }),
    update: (owned, change) => update(context, mine(owned), change),
    note: (owned, change) => {
      const state = mine(owned)
      if (state !== undefined) writeBehind.note(state, change)
    },
    tries: (owned) => {
      const state = mine(owned)
      if (state !== undefined) state.triedSince = context.elapsed.mark()
    },
    harmless: (owned) => {
      const state = mine(owned)
      if (state !== undefined) writeBehind.harmless(state)
    },
    remove: (owned, closing = Effect.void) => {
      const state = mine(owned)
      if (state !== undefined) return remove(context, state, closing)
      // before the next incarnation has looked at what this one left
      if (owned.life.ended()) context.pendingRemoval.request(owned.id)
      return Effect.zipRight(
        closing,
        new StateStoreUnavailable({ outcome: "unknown", reason: "this instance was fenced meanwhile" })
      )
    },
    release: (owned) => release(context, owned),
    claimOwn: Stream.unwrap(
      Effect.flatMap(lease.awaitHeld, () =>
        Effect.sync(() => (context.tenure === undefined ? Stream.empty : claimOwn(context, context.tenure)))
      )
    ),
    claim: (id, onLate) => claimOne(context, id, onLate),
    offerHandover: (owned, target, change = () => ({})) => offerHandover(context, mine(owned), target, change),
    takeBack: (owned) => takeBack(context, mine(owned)),
    handedOver: (owned) => {
      if (mine(owned) === undefined) return
      release(context, owned)
      if (context.tenure?.life === owned.life) context.tenure.pages.drop(owned.id)
    },
    claimHandover: (id, epoch) => claimHandover(context, id, epoch),
    flush: writeBehind.flush,
    onDisowned: context.disowned.add
  })
  return { store, reclaimer: makeReclaimer(context, lease, yield* Settings) }
})

/** A write that its caller waits for; it is carried through, also when the caller has gone. */
const update = (
  context: StoreContext,
  owned: OwnedConnectionState | undefined,
  change: RecordChange
): Effect.Effect<void, StateStoreUnavailable | InvalidRequest> =>
  Effect.gen(function* () {
    if (owned === undefined || owned.removing || !owned.life.valid()) {
      return yield* new StateStoreUnavailable({ reason: "this instance may not write it now" })
    }
    const answer = yield* Deferred.make<boolean, StateStoreUnavailable | InvalidRequest>()
    yield* rewrite(context, owned, (record) => ({ ...record, ...change }), { patient: false }).pipe(
      Effect.catchTag("ValueTooLarge", (error) => new InvalidRequest({ field: "", reason: error.message })),
      Effect.intoDeferred(answer),
      Effect.forkIn(context.scope)
    )
    const written = yield* Deferred.await(answer).pipe(
      Effect.timeoutFail({
        duration: STORE_ANSWER_TIMEOUT,
        onTimeout: () => new StateStoreUnavailable({ outcome: "unknown", reason: "the store does not answer" })
      })
    )
    if (!written) return yield* new StateStoreUnavailable({ reason: "this instance does not own it any more" })
  })
