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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Settings } from "../config/Settings.js"
import type { StateStoreUnavailable } from "../domain/Errors.js"
import { decodeHeartbeat, hasEnded } from "../domain/Instance.js"
import { instanceKey } from "../domain/Key.js"
import type { Instance } from "../domain/Messages.js"
import { uuidv7 } from "../domain/Uuid.js"
import { Essentials } from "../observability/Essentials.js"
import { Metrics } from "../observability/Metrics.js"
import { Peers } from "../ports/Peers.js"
import { StateStore } from "../ports/StateStore.js"
import * as Announcements from "./Announcements.js"
import { bounded } from "./Bounded.js"
import * as Elapsed from "./Elapsed.js"
import * as Heartbeat from "./Heartbeat.js"
import { InstanceId } from "./InstanceId.js"
import * as InstanceIndex from "./InstanceIndex.js"
import * as Instances from "./Instances.js"
import { join, type JoiningServices } from "./Joining.js"
import { Lease, type Life } from "./Lease.js"
import * as LeaseBoard from "./LeaseBoard.js"
import { guard, report } from "./LeaseWatch.js"
import { type LifeEnd, LifeState } from "./Life.js"
import * as Links from "./Links.js"
import { renewal } from "./PeerRenewal.js"
import * as Periods from "./Periods.js"
import * as Present from "./Present.js"
import { ProcessIdentity } from "./ProcessIdentity.js"
import type { View } from "./View.js"
import { watch } from "./Watch.js"

export type { InstanceEvent } from "./Announcements.js"
export type { LivePeer } from "./Present.js"
export type { Member, Victim } from "./View.js"

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

/** How long what an instance that left with nothing leaves behind can be read: its record, and its empty pages. */
export const REMEMBERED = Duration.hours(1)

export class Membership extends Context.Tag("websocketmanager/membership/Membership")<
  Membership,
  Present.Company & {
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
     * Looks whether this life still stands in the store; ends it if not. For a writer that lost a write which only this
     * instance makes.
     */
    readonly check: (life: Life) => Effect.Effect<boolean, StateStoreUnavailable>
    /** Why this life ended; undefined while it has not. */
    readonly endOf: (life: Life) => LifeEnd | undefined
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
  const periods = Periods.make(settings)
  const elapsed = yield* Elapsed.make
  const joined = yield* Deferred.make<void>()
  const stopJoining = yield* Deferred.make<undefined>()
  const wake = yield* Effect.makeLatch(false)
  const board = LeaseBoard.make(new LifeState(uuidv7(elapsed.now()), elapsed, periods))
  const announcements = Announcements.make()
  const present = Present.make({ announcements, board, elapsed, periods, store, self: { id, address } })
  const startedAt = new Date(elapsed.now()).toISOString()

  let holdings: Holdings = { connections: () => 0, empty: () => true, expire: Effect.void }
  let draining = false
  let phase: MembershipPhase = "joining"

  const services: JoiningServices = {
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
    ttl: (status) => (status === "left" && holdings.empty() ? REMEMBERED : undefined),
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

  const settleIn = (life: LifeState, view: View) =>
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
          if (!others) view.firstAlone = true
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

  const live = (life: LifeState, view: View) =>
    Effect.gen(function* () {
      const me = { id, incarnation: life.incarnation, address }
      const crashDetection = settings.crashDetection === "refused"
      const fleet = { announcements, board, crashDetection, elapsed, essentials, life, me, peers, periods, store, view }
      const links = yield* Links.make(fleet)
      present.link(links)
      const over = yield* Deferred.make<void>()
      const stop = board.lease.onChange((change, of) => {
        if (change === "ended" && of === life) Deferred.unsafeDone(over, Effect.void)
      })
      yield* Effect.addFinalizer(() => Effect.sync(stop))
      const { essential } = essentials
      yield* Effect.forkScoped(essential("lease report", report(board, life)))
      yield* Effect.forkScoped(essential("lease guard", guard(board, life)))
      yield* Effect.forkScoped(essential("lease renewal by peers", renewal(fleet)))
      yield* Effect.forkScoped(essential("watch on the fleet", Effect.scoped(watch(fleet, links))))
      yield* Effect.forkScoped(essential("index entry", settleIn(life, view)))
      yield* Effect.raceFirst(essential("heartbeat", Heartbeat.beats(services, life)), Deferred.await(over))
      // the reading has ended: from now on no peer's silence counts
      view.listeningSince = undefined
    }).pipe(Effect.scoped)

  /** One life, from joining to its end; false when there will be no other. */
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
    while (!life.ended() && life.written === "alive") yield* Effect.sleep(20)
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
    if (life.endedBy !== "left" || !holdings.empty()) return
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
    instances: Instances.make(store, elapsed, id, present.watched),
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
    endOf: (life) => (life instanceof LifeState ? life.endedBy : undefined),
    holds: (next) => {
      holdings = next
    }
  }
  return { lease: board.lease, membership }
})
