/**
 * The manager, assembled from its rooms.
 *
 * Started after the lease's Heartbeat, the store and the publisher, which it depends on; stopped before them, by draining:
 * sockets closed, frames and records flushed, the lease laid down.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import { Settings } from "../config/Settings.js"
import { ByteBudget } from "../domain/ByteBudget.js"
import { ConnectionStatus, shortStatus } from "../domain/ConnectionStatus.js"
import { bounded } from "../membership/Bounded.js"
import { InstanceId } from "../membership/InstanceId.js"
import { Lease } from "../membership/Lease.js"
import { Membership } from "../membership/Membership.js"
import { Overload } from "../observability/Overload.js"
import { Publisher } from "../messaging/Publisher.js"
import { SendTurn } from "../messaging/SendTurn.js"
import { Essentials } from "../observability/Essentials.js"
import { Metrics } from "../observability/Metrics.js"
import * as Browsing from "../ownership/Browsing.js"
import { ConnectionStore } from "../ownership/ConnectionStore.js"
import { Reclaimer } from "../ownership/Reclaimer.js"
import { Peers } from "../ports/Peers.js"
import { PubSub } from "../ports/PubSub.js"
import { StateStore } from "../ports/StateStore.js"
import { Sessions } from "../socket/Session.js"
import { perTurn } from "../socket/TurnTime.js"
import { abandon } from "./Adoption.js"
import * as Anywhere from "./Anywhere.js"
import * as Connecting from "./Connecting.js"
import { ConnectionTable } from "./ConnectionTable.js"
import { ConnectionManager } from "./ConnectionManager.js"
import type { Core } from "./Core.js"
import * as Drain from "./Drain.js"
import { DrainHooks } from "./DrainHooks.js"
import { Events } from "./Events.js"
import * as Fleet from "./Fleet.js"
import * as Giving from "./Giving.js"
import { CurrentPhase } from "./Health.js"
import * as Listing from "./Listing.js"
import * as Lives from "./Lives.js"
import { Local } from "./Local.js"
import * as Messaging from "./Messaging.js"
import * as Overloaded from "./Overloaded.js"
import * as Probation from "./Probation.js"
import * as Publish from "./Publish.js"
import * as Rebalancing from "./Rebalancing.js"
import * as Roster from "./Roster.js"
import * as Supervisor from "./Supervisor.js"
import * as Tagging from "./Tagging.js"
import * as Taking from "./Taking.js"
import * as Watching from "./Watching.js"

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const { address, id } = yield* InstanceId
  const metrics = yield* Metrics
  const essentials = yield* Essentials
  const events = yield* Events
  const lease = yield* Lease
  const membership = yield* Membership
  const store = yield* ConnectionStore
  const sessions = yield* Sessions
  const clock = yield* Effect.clock
  const settled = yield* Effect.makeLatch(false)
  const loops = yield* Supervisor.make({
    sessions,
    events,
    store,
    lease,
    metrics,
    onLeaseLoss: settings.onLeaseLoss
  })
  const now = () => clock.unsafeCurrentTimeMillis()
  const steady = () => Number(clock.unsafeCurrentTimeNanos()) / 1e6
  const probation = yield* Probation.make({
    steady,
    store,
    start: (c) => loops.start(c, { onlyIfOpens: false })
  })
  yield* Effect.forkScoped(essentials.essential("probation", probation.loop))
  const supervisor: Supervisor.Supervisor = {
    ...loops,
    start: (c, options) =>
      Effect.suspend(() => {
        probation.watch(c)
        return loops.start(c, options)
      })
  }
  const core: Core = {
    instanceId: id,
    address,
    settings,
    metrics,
    essentials,
    events,
    lease,
    store,
    publisher: yield* Publisher,
    pubsub: yield* PubSub,
    sessions,
    supervisor,
    probation,
    phase: yield* CurrentPhase,
    kept: new ByteBudget(settings.bufferMaxBytes),
    sending: new SendTurn(),
    connections: new ConnectionTable(),
    leaving: new Set<string>(),
    now,
    turnTime: perTurn(now),
    steady,
    fork: yield* FiberSet.makeRuntime<never>(),
    settled: settled.await,
    claiming: { over: yield* Effect.makeLatch(true), shut: false }
  }
  const creating = Connecting.nothingYet()
  const peers = yield* Peers
  const giving = Giving.make(core, membership, peers)
  const fleet: Fleet.Fleet = { core, giving, membership, peers }
  const drain = yield* Drain.make(fleet, yield* DrainHooks)

  metrics.connections(() => byStatus(core))
  const { unfinished } = sessions
  unfinished.shareWith(() => core.publisher.waiting().bytes)
  core.publisher.shareWith(unfinished.bytes)
  metrics.keptBytes(() => [
    [["send"], core.kept.used],
    [["receive"], unfinished.bytes()]
  ])
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      store.onDisowned((owned) => {
        const c = core.connections.get(owned.id)
        // of a planned move the giving end takes care
        if (c?.owned === owned && c.moving === undefined) core.fork(abandon(core, c))
      })
    ),
    (unsubscribe) => Effect.sync(unsubscribe)
  )
  // what an instance does it says itself; what befalls it is for the others to say
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      membership.onInstance(({ address, id, incarnation, name }) => {
        if (name === "instance-suspect" || name === "instance-dead") {
          events.emit(name, undefined, { address, incarnation, instance: id })
        }
      })
    ),
    (unsubscribe) => Effect.sync(unsubscribe)
  )
  yield* Lives.follow(core, yield* Reclaimer, settled)
  // After all that listens, so that it is closed before: a drain takes its time, and the lease may be lost in it.
  yield* Effect.addFinalizer(() => drain.run(settings.drainMode, settings.drainTimeout))

  const overload = yield* Overload
  yield* Overloaded.pausing(overload, core.connections)
  const operations = ConnectionManager.of({
    connect: (request) => Connecting.connect(core, creating, request),
    disconnect: (request) => Connecting.disconnect(core, request),
    reconnect: (id) => Connecting.reconnect(core, id),
    get: (id) => Listing.get(core, id),
    list: (request) => Listing.list(core, request),
    startPublish: (request) => Publish.startPublish(core, request),
    stopPublish: (id) => Publish.stopPublish(core, id),
    send: (request) => Messaging.send(core, request),
    sendRaw: (request) => Messaging.sendRaw(core, request),
    receive: (id) => Messaging.receive(core, id),
    subscribe: (topic) => Watching.subscribe(core, topic),
    setTag: (id, key, value) => Tagging.setTag(core, id, key, value),
    getTag: (id, key) => Tagging.getTag(core, id, key),
    setTags: (id, tags) => Tagging.setTags(core, id, tags),
    getTags: (id) => Tagging.getTags(core, id),
    deleteTag: (id, key) => Tagging.deleteTag(core, id, key),
    watch: (request) => Watching.watch(core, request),
    listInstances: Fleet.instances(fleet),
    migrate: (request) => Fleet.migrate(fleet, request),
    drain: (request) => Drain.fromRequest(drain, request),
    rebalance: (request) => Rebalancing.rebalance(fleet, request)
  })
  const local = Local.of({
    operations,
    connectAgain: (request) => Connecting.connectAgain(core, creating, request),
    send: (request, onSent) => Messaging.send(core, request, onSent),
    handover: { take: Taking.make(core, peers), moved: giving.moved }
  })
  const browsing = Browsing.make(yield* bounded(yield* StateStore))
  const roster = yield* Roster.make(membership, essentials)
  const anywhere = Anywhere.make({ core, membership, peers, local, browsing, roster })
  // a peer passes calls on to what is here; both are refused at their doors
  return Context.make(ConnectionManager, Overloaded.refusing(overload, anywhere)).pipe(
    Context.add(Local, Overloaded.refusingPeers(overload, local))
  )
})

const byStatus = (core: Core): ReadonlyArray<readonly [ReadonlyArray<string>, number]> => {
  const counts = new Map<ConnectionStatus, number>(ConnectionStatus.literals.map((status) => [status, 0]))
  for (const c of core.connections.values()) counts.set(c.status, counts.get(c.status)! + 1)
  return [...counts].map(([status, count]) => [[shortStatus(status)], count])
}

/** Needs its rooms: Settings, Metrics, Essentials, Events, Lease, Membership, ConnectionStore, Reclaimer, Publisher, PubSub, Sessions, StateStore, Peers. */
export const layer = Layer.scopedContext(make)
