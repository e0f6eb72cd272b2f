/**
 * This instance among the others: joins, renews, leaves, and joins again when it was fenced.
 *
 * Started once the listener is bound (an instance in the store can be reached), before anything that acts under the lease.
 * Stopped last, after the manager has given everything away. Its own heart (Heartbeat) and what judges the others (Watch)
 * meet in the store alone.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SuspendAwareClock from "../common/SuspendAwareClock.js"
import { uuidv7 } from "../common/Uuid.js"
import { Settings } from "../config/Settings.js"
import type { StateStoreUnavailable } from "../domain/Errors.js"
import type { Instance } from "../domain/Messages.js"
import { decodeHeartbeat, hasEnded } from "../domain/stored/InstanceRecord.js"
import { instanceKey } from "../domain/stored/Keys.js"
import { Essentials } from "../observability/Essentials.js"
import { Metrics } from "../observability/Metrics.js"
import { Peers } from "../ports/Peers.js"
import { StateStore } from "../ports/StateStore.js"
import { bounded } from "../state/BoundedStore.js"
import * as InstanceIndex from "../state/InstanceIndex.js"
import { InstanceId } from "./InstanceId.js"
import { join, type JoinContext } from "./Join.js"
import * as Heartbeat from "./lease/Heartbeat.js"
import { type IncarnationEnd, IncarnationState } from "./lease/Incarnation.js"
import { type Incarnation, Lease } from "./lease/Lease.js"
import * as LeaseController from "./lease/LeaseController.js"
import { guard, report } from "./lease/LeaseGuard.js"
import * as LeaseTimings from "./lease/LeaseTimings.js"
import { DEPARTED_TTL } from "./lease/LeaseTimings.js"
import * as InstanceList from "./peers/InstanceList.js"
import * as MembershipView from "./peers/MembershipView.js"
import type { MemberTable } from "./peers/MemberTable.js"
import * as PeerEvents from "./peers/PeerEvents.js"
import * as PeerLinks from "./peers/PeerLinks.js"
import { renewal } from "./peers/PeerRenewal.js"
import { watch } from "./peers/PeerWatch.js"
import { ProcessIdentity } from "./ProcessIdentity.js"

export type { InstanceEvent } from "./peers/PeerEvents.js"
export type { LivePeer } from "./peers/MembershipView.js"
export type { Member, EndedInstance as Victim } from "./peers/MemberTable.js"

/** joining: for the first time; fenced: joining again. */
export type MembershipPhase = "joining" | "joined" | "draining" | "fenced" | "left"

/** What the keeper of connections tells of them. */
export interface Holdings {
  /** for the heartbeat record */
  readonly connections: () => number
  /** whether the pages are empty and no write is open: only then the index entry goes at leaving */
  readonly empty: () => boolean
  /** Writes the empty pages once more, under the lease, to vanish after `REMEMBERED`; as well as it can. */
  readonly expire: Effect.Effect<void>
}

/** Which instances there are besides this one, and what became of those that ended. */
export class Membership extends Context.Tag("websocketmanager/membership/Membership")<
  Membership,
  MembershipView.MembershipView & {
    /** Done once this instance has joined for the first time. */
    readonly joined: Effect.Effect<void>
    readonly phase: () => MembershipPhase
    /** Every instance in the store, this one first. */
    readonly instances: Effect.Effect<ReadonlyArray<Instance>, StateStoreUnavailable>
    /**
     * The record says `draining` from the next beat on, which goes out at once; done when that landed, or after half an
     * interval.
     */
    readonly drain: Effect.Effect<void>
    /**
     * Lays the lease down, and only then writes `left`; the index entry goes if nothing is held. Call it when everything is
     * released. Goes on until it is written: bound it by a time-out.
     */
    readonly leave: Effect.Effect<void>
    /**
     * Looks whether this incarnation still stands in the store; ends it if not. For a writer that lost a write which
     * only this instance makes.
     */
    readonly check: (life: Incarnation) => Effect.Effect<boolean, StateStoreUnavailable>
    /** Why this incarnation ended; undefined while it has not. */
    readonly endOf: (life: Incarnation) => IncarnationEnd | undefined
    readonly holds: (holdings: Holdings) => void
  }
>() {
  /** Lease and Membership, over one heartbeat. */
  static readonly layer: Layer.Layer<
    Membership | Lease,
    never,
    StateStore | Peers | Settings | InstanceId | ProcessIdentity | Metrics | Essentials
  > = Layer.scopedContext(
    Effect.map(
      Effect.suspend(() => make),
      ({ lease, membership }) => Context.make(Membership, membership).pipe(Context.add(Lease, lease))
    )
  )
}

const make = Effect.gen(function* () {
  const store = yield* bounded(yield* StateStore)
  const peers = yield* Peers
  const { address, id } = yield* InstanceId
  const identity = yield* ProcessIdentity
  const metrics = yield* Metrics
  const essentials = yield* Essentials
  const settings = yield* Settings
  const periods = LeaseTimings.make(settings)
  const elapsed = yield* SuspendAwareClock.make
  const joined = yield* Deferred.make<void>()
  const stopJoining = yield* Deferred.make<undefined>()
  const wake = yield* Effect.makeLatch(false)
  const board = LeaseController.make(new IncarnationState(uuidv7(elapsed.now()), elapsed, periods))
  const announcements = PeerEvents.make()
  const present = MembershipView.make({ announcements, board, elapsed, periods, store, self: { id, address } })
  const startedAt = new Date(elapsed.now()).toISOString()

  let holdings: Holdings = { connections: () => 0, empty: () => true, expire: Effect.void }
  let draining = false
  let phase: MembershipPhase = "joining"

  const services: JoinContext = {
    board,
    elapsed,
    essentials,
    identity,
    metrics,
    peers,
    periods,
    store,
    wake,
    address,
    instanceId: id,
    own: new Set(),
    ttl: (status) => (status === "left" && holdings.empty() ? DEPARTED_TTL : undefined),
    record: (life, status, beat, nonce) => ({
      id,
      status,
      address,
      startedAt,
      bootId: identity.bootId,
      pidNamespace: identity.pidNamespace,
      pid: identity.pid,
      processStart: identity.processStart,
      beat,
      nonce,
      incarnation: life.incarnation,
      intervalMs: periods.interval,
      ttlMs: periods.ttl,
      connections: holdings.connections(),
      unknown: {}
    })
  }

  const settleIn = (life: IncarnationState, view: MemberTable) =>
    Effect.suspend(() => {
      let others = true
      const withMine = (ids: Readonly<Record<string, string>>) => {
        others = Object.keys(ids).some((other) => other !== id)
        return { ...ids, [id]: life.incarnation }
      }
      const joining = essentials.retrying("joining: the index of instances")
      return Effect.tap(
        InstanceIndex.change(store, withMine, life.ended, () => true, joining),
        () => {
          if (life.ended()) return Effect.void
          // of instances that start together one finds the index empty; whether the others in it live, the next read tells
          if (!others) view.sawOthers(false)
          phase = draining ? "draining" : "joined"
          board.joined(life)
          view.look()
          return Effect.zipRight(
            Effect.logInfo(`joined as instance ${id} at ${address}, incarnation ${life.incarnation}`),
            Deferred.succeed(joined, undefined)
          )
        }
      )
    })

  const live = (life: IncarnationState, view: MemberTable) =>
    Effect.gen(function* () {
      const me = { id, incarnation: life.incarnation, address }
      const crashDetection = settings.crashDetection === "refused"
      const fleet = { announcements, board, crashDetection, elapsed, essentials, life, me, peers, periods, store, view }
      const links = yield* PeerLinks.make(fleet)
      present.link(links)
      const { essential } = essentials
      yield* Effect.forkScoped(essential("lease report", report(board, life)))
      yield* Effect.forkScoped(essential("lease guard", guard(board, life)))
      yield* Effect.forkScoped(essential("lease renewal by peers", renewal(fleet)))
      yield* Effect.forkScoped(essential("watch on the fleet", Effect.scoped(watch(fleet, links))))
      yield* Effect.forkScoped(essential("index entry", settleIn(life, view)))
      yield* Effect.raceFirst(essential("heartbeat", Heartbeat.beats(services, life)), life.awaitEnd)
      // the reading has ended: from now on no peer's silence counts
      view.stopListening()
    }).pipe(Effect.scoped)

  /** One incarnation, from joining to its end; false when there will be no other. */
  const turn = Effect.gen(function* () {
    const view = present.renew()
    const life = yield* Effect.raceFirst(join(services, view), Deferred.await(stopJoining))
    if (life === undefined) return false
    life.status = draining ? "draining" : "alive"
    board.begin(life)
    yield* live(life, view)
    // an instance that is fenced while it drains does not come back
    if (draining) return false
    phase = "fenced"
    return true
  }).pipe(
    Effect.tapErrorCause((cause) =>
      Effect.sync(() => Cause.isInterruptedOnly(cause) || board.end(board.present(), "fenced"))
    )
  )
  const run = turn.pipe(
    Effect.repeat({ while: (again) => again }),
    Effect.zipRight(
      Effect.sync(() => {
        phase = "left"
      })
    ),
    Effect.annotateLogs({ room: "membership" })
  )
  const fiber = yield* Effect.forkScoped(essentials.essential("membership", run))

  metrics.instances(() => [...present.counts()].map(([status, count]) => [[status], count]))
  metrics.leaseRemaining(() => [[[], Math.max(0, board.present().remaining() / 1000)]])

  const drain = Effect.gen(function* () {
    draining = true
    if (phase === "joined") phase = "draining"
    const life = board.present()
    life.status = "draining"
    yield* wake.open
    yield* life.awaitLeaving
  }).pipe(Effect.timeoutOption(periods.deadline), Effect.asVoid)

  const leave = Effect.gen(function* () {
    draining = true
    const life = board.present()
    const layDown = Effect.suspend(() => {
      life.layDown()
      return Effect.zipRight(Deferred.succeed(stopJoining, undefined), wake.open)
    })
    yield* Effect.suspend(() => (life.valid() && holdings.empty() ? holdings.expire : Effect.void)).pipe(
      Effect.timeoutOption(periods.deadline),
      Effect.ensuring(layDown)
    )
    yield* fiber.await
    if (life.endedBy() !== "left" || !holdings.empty()) return
    const without = (ids: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(ids).filter(([other]) => other !== id))
    yield* InstanceIndex.change(
      store,
      (ids) => (ids[id] === life.incarnation ? without(ids) : undefined),
      () => false
    )
  })

  const membership: Membership["Type"] = {
    ...present.company,
    joined: Deferred.await(joined),
    phase: () => phase,
    instances: InstanceList.make(store, elapsed, id, present.watched),
    drain,
    leave,
    check: (life) =>
      Effect.gen(function* () {
        if (life.ended()) return false
        const read = yield* store.get(instanceKey(id))
        const record = Option.isNone(read) ? undefined : yield* decodeHeartbeat(id, read.value.value)
        if (!hasEnded(record, life.incarnation)) return true
        const state = board.present()
        if (state !== life || state.ended()) return false
        board.end(state, record === undefined ? "emptied" : "fenced")
        yield* record === undefined ? Heartbeat.sayEmptied : Heartbeat.sayFenced(Heartbeat.describe(record))
        return false
      }),
    endOf: (life) => (life instanceof IncarnationState ? life.endedBy() : undefined),
    holds: (next) => {
      holdings = next
    }
  }
  return { lease: board.lease, membership }
})
