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
import { steadyMillis } from "../common/SuspendAwareClock.js"
import { ByteBudget } from "../common/ByteBudget.js"
import { Settings } from "../config/Settings.js"
import { ConnectionStatus, shortStatus } from "../domain/ConnectionStatus.js"
import { InstanceId } from "../membership/InstanceId.js"
import { Lease } from "../membership/lease/Lease.js"
import { Membership } from "../membership/Membership.js"
import { Publisher } from "../messaging/Publisher.js"
import { SendTurn } from "../messaging/SendTurn.js"
import { Essentials } from "../observability/Essentials.js"
import { Metrics } from "../observability/Metrics.js"
import { Overload } from "../observability/Overload.js"
import { ConnectionStore } from "../ownership/ConnectionStore.js"
import { Reclaimer } from "../ownership/Reclaimer.js"
import * as StoredConnections from "../ownership/records/StoredConnections.js"
import { Peers } from "../ports/Peers.js"
import { PubSub } from "../ports/PubSub.js"
import { StateStore } from "../ports/StateStore.js"
import { Sessions } from "../socket/wire/Session.js"
import { perTurn } from "../socket/wire/Timers.js"
import { bounded } from "../state/BoundedStore.js"
import { ConnectionTable } from "./connection/ConnectionTable.js"
import * as IncarnationLoop from "./connection/IncarnationLoop.js"
import type { ManagerContext } from "./connection/ManagerContext.js"
import * as Overloaded from "./connection/Overloaded.js"
import * as Probation from "./connection/Probation.js"
import { abandon } from "./connection/Registry.js"
import * as Supervisor from "./connection/Supervisor.js"
import { ConnectionManager } from "./ConnectionManager.js"
import { DrainHooks } from "./DrainHooks.js"
import { Events } from "./Events.js"
import { CurrentPhase } from "./Health.js"
import { LocalManager } from "./LocalManager.js"
import * as Drain from "./migration/Drain.js"
import * as Migrate from "./migration/Migrate.js"
import * as MigrationSource from "./migration/MigrationSource.js"
import * as MigrationTarget from "./migration/MigrationTarget.js"
import * as Rebalance from "./migration/Rebalance.js"
import * as Connect from "./operations/Connect.js"
import * as List from "./operations/List.js"
import * as Publish from "./operations/Publish.js"
import * as Send from "./operations/Send.js"
import * as Subscriptions from "./operations/Subscriptions.js"
import * as Tags from "./operations/Tags.js"
import * as Forward from "./routing/Forward.js"
import * as Router from "./routing/Router.js"

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
  const steady = steadyMillis(clock)
  const probation = yield* Probation.make({
    steady,
    store,
    start: (c) => loops.start(c, { failFast: false })
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
  const core: ManagerContext = {
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
    removing: new Set<string>(),
    now,
    turnTime: perTurn(now),
    steady,
    fork: yield* FiberSet.makeRuntime<never>(),
    recovered: settled.await,
    claims: { drained: yield* Effect.makeLatch(true), closed: false }
  }
  const creating = Connect.nothingYet()
  const peers = yield* Peers
  const source = MigrationSource.make(core, membership, peers)
  const fleet: Migrate.MigrationContext = { core, source, membership, peers }
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
        if (c?.owned === owned && !c.isMoving()) core.fork(abandon(core, c))
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
  yield* IncarnationLoop.follow(core, yield* Reclaimer, settled)
  // After all that listens, so that it is closed before: a drain takes its time, and the lease may be lost in it.
  yield* Effect.addFinalizer(() => drain.run(settings.drainMode, settings.drainTimeout))

  const overload = yield* Overload
  yield* Overloaded.pausing(overload, core.connections)
  const operations = ConnectionManager.of({
    connect: (request) => Connect.connect(core, creating, request),
    disconnect: (request) => Connect.disconnect(core, request),
    reconnect: (id) => Connect.reconnect(core, id),
    get: (id) => List.get(core, id),
    list: (request) => List.list(core, request),
    startPublish: (request) => Publish.startPublish(core, request),
    stopPublish: (id) => Publish.stopPublish(core, id),
    send: (request) => Send.send(core, request),
    sendRaw: (request) => Send.sendRaw(core, request),
    receive: (id) => Send.receive(core, id),
    subscribe: (topic) => Subscriptions.subscribe(core, topic),
    setTag: (id, key, value) => Tags.setTag(core, id, key, value),
    getTag: (id, key) => Tags.getTag(core, id, key),
    setTags: (id, tags) => Tags.setTags(core, id, tags),
    getTags: (id) => Tags.getTags(core, id),
    deleteTag: (id, key) => Tags.deleteTag(core, id, key),
    watch: (request) => Subscriptions.watch(core, request),
    listInstances: Migrate.instances(fleet),
    migrate: (request) => Migrate.migrate(fleet, request),
    drain: (request) => Drain.fromRequest(drain, request),
    rebalance: (request) => Rebalance.rebalance(fleet, request)
  })
  const local = LocalManager.of({
    operations,
    connectAgain: (request) => Connect.connectAgain(core, creating, request),
    send: (request, onSent) => Send.send(core, request, onSent),
    handover: { take: MigrationTarget.make(core, peers), moved: source.confirm }
  })
  const browsing = StoredConnections.make(yield* bounded(yield* StateStore))
  const roster = yield* Forward.makeMemberChanges(membership)
  const anywhere = Router.make({ core, membership, peers, local, browsing, roster })
  // a peer passes calls on to what is here; both are refused at their doors
  return Context.make(ConnectionManager, Overloaded.refusing(overload, anywhere)).pipe(
    Context.add(LocalManager, Overloaded.refusingPeers(overload, local))
  )
})

const byStatus = (core: ManagerContext): ReadonlyArray<readonly [ReadonlyArray<string>, number]> => {
  const counts = new Map<ConnectionStatus, number>(ConnectionStatus.literals.map((status) => [status, 0]))
  for (const c of core.connections.values()) counts.set(c.status, counts.get(c.status)! + 1)
  return [...counts].map(([status, count]) => [[shortStatus(status)], count])
}

/**
 * Needs its rooms: Settings, Metrics, Essentials, Events, Lease, Membership, ConnectionStore, Reclaimer, Publisher, PubSub,
 * Sessions, StateStore, Peers.
 */
export const layer = Layer.scopedContext(make)
