/** Instances on one store in memory, under the test clock, with a store that can be broken in between. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import * as NoPeers from "../../src/adapters/peers/NoPeers.js"
import { Settings } from "../../src/config/Settings.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { InstanceId } from "../../src/membership/InstanceId.js"
import { Lease, type LeaseChange } from "../../src/membership/lease/Lease.js"
import { type InstanceEvent, Membership, type Victim } from "../../src/membership/Membership.js"
import { ProcessIdentity } from "../../src/membership/ProcessIdentity.js"
import { Essentials } from "../../src/observability/Essentials.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { ConnectionStore } from "../../src/ownership/ConnectionStore.js"
import { Reclaimer } from "../../src/ownership/Reclaimer.js"
import { type Peers, PeerService } from "../../src/ports/Peers.js"
import { StateStore, type Version } from "../../src/ports/StateStore.js"
import * as FaultyStateStore from "../support/FaultyStateStore.js"
import type { PeerNetwork } from "../support/PeerNetwork.js"
import { VirtualClock } from "../support/VirtualClock.js"

export const SETTINGS = {
  heartbeatInterval: Duration.seconds(2),
  heartbeatTtl: Duration.seconds(6),
  crashDetection: "refused" as const,
  reclaimInterval: Duration.seconds(1),
  claimRate: 1000
}

export interface InstanceOptions {
  readonly id?: string
  readonly pid?: number
  readonly gone?: (pid: number) => boolean
  readonly address?: string
  readonly peers?: Layer.Layer<Peers>
  /** speaks to its peers, and they to it */
  readonly network?: PeerNetwork
  readonly settings?: Partial<SettingsShape>
  /** calls of this key fail from the start, until the faults are healed */
  readonly unavailable?: string
}

/** One process: what it offers, and what happened to its lease. */
export interface Instance {
  readonly faults: FaultyStateStore.FaultyStateStore
  readonly id: string
  readonly address: string
  readonly membership: Membership["Type"]
  readonly lease: Lease["Type"]
  readonly store: ConnectionStore["Type"]
  readonly reclaimer: Reclaimer["Type"]
  readonly troubles: Essentials["Type"]["troubles"]
  readonly metrics: Metrics["Type"]
  readonly changes: Array<LeaseChange>
  /** of others */
  readonly events: Array<InstanceEvent>
  readonly victims: Array<Victim>
  /** SIGSTOP: its timers fire only when it goes on. */
  readonly freeze: () => void
  readonly thaw: Effect.Effect<void>
  /** SIGKILL: nothing more is written, nothing is said. */
  readonly crash: Effect.Effect<void>
}

export const start = (backend: MemoryState.MemoryBackend, options: InstanceOptions = {}) =>
  Effect.gen(function* () {
    const { address = "http://127.0.0.1:5001", id = "one", network } = options
    const faults = yield* FaultyStateStore.make(backend)
    if (options.unavailable !== undefined) {
      faults.only = ({ key }) => key === options.unavailable
      faults.unavailable = true
    }
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const settings = { ...SETTINGS, ...options.settings } as SettingsShape
    const pid = options.pid ?? 1
    const going = yield* Effect.makeLatch(true)
    const clock = yield* Effect.clock
    const stoppable: Clock.Clock = {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
      currentTimeMillis: clock.currentTimeMillis,
      unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
      currentTimeNanos: clock.currentTimeNanos,
      sleep: (duration) => Effect.zipRight(clock.sleep(duration), going.await)
    }
    const world = Layer.mergeAll(
      faults.layer,
      Layer.succeed(Settings, settings),
      Layer.succeed(InstanceId, { id, address }),
      options.peers ?? network?.layer(address) ?? NoPeers.layer,
      Layer.succeed(ProcessIdentity, {
        bootId: "boot",
        pidNamespace: "ns",
        pid,
        processStart: "1",
        isGone: (other) => options.gone?.(other.pid) ?? false
      }),
      Layer.provideMerge(Essentials.layer, Metrics.layer)
    )
    const members = Membership.layer.pipe(Layer.provide(world))
    const doors = network === undefined ? Layer.empty : network.serving(address).pipe(Layer.provide(desk))
    const context = yield* Layer.buildWithScope(
      Layer.mergeAll(ConnectionStore.layer, doors).pipe(Layer.provideMerge(members), Layer.provideMerge(world)),
      scope
    ).pipe(Effect.withClock(stoppable))
    const lease = Context.get(context, Lease)
    const membership = Context.get(context, Membership)
    const changes: Array<LeaseChange> = []
    if (lease.valid()) changes.push("held")
    lease.onChange((change) => changes.push(change))
    const events: Array<InstanceEvent> = []
    membership.onInstance((event) => events.push(event))
    const victims: Array<Victim> = []
    yield* Effect.forkIn(
      Stream.runForEach(membership.victims, (victim) => Effect.sync(() => victims.push(victim))),
      scope
    )
    const instance: Instance = {
      id,
      address,
      faults,
      lease,
      changes,
      events,
      victims,
      membership,
      store: Context.get(context, ConnectionStore),
      reclaimer: Context.get(context, Reclaimer),
      troubles: Context.get(context, Essentials).troubles,
      metrics: Context.get(context, Metrics),
      freeze: () => {
        going.unsafeClose()
        network?.freeze(address)
      },
      thaw: Effect.suspend(() => {
        network?.thaw(address)
        return going.open
      }),
      crash: Effect.suspend(() => {
        faults.blackhole = true
        network?.crash(address)
        return Scope.close(scope, Exit.void)
      })
    }
    return instance
  })

/** As far as membership goes. */
const desk = Layer.effect(
  PeerService,
  Effect.map(Membership, ({ ask, hello, incarnation }) => {
    const beyond = Effect.dieMessage("not a matter of membership")
    return {
      incarnation,
      probeLease: ask,
      hello,
      offerHandover: () => beyond,
      confirmHandover: () => beyond,
      call: () => beyond,
      open: () => beyond,
      send: () => Stream.die("not a matter of membership")
    }
  })
)

/** Moves the clock in effect: the test clock, or a virtual one. */
export const adjust = (duration: Duration.DurationInput): Effect.Effect<void> =>
  Effect.clockWith((clock) => (clock instanceof VirtualClock ? clock.advance(duration) : TestClock.adjust(duration)))

/** Steps the clock until the condition holds. */
export const until = (condition: () => boolean, step: Duration.DurationInput = "50 millis", limit = 400) =>
  Effect.gen(function* () {
    for (let i = 0; i < limit && !condition(); i++) yield* adjust(step)
    if (!condition()) return yield* Effect.dieMessage("the condition did not come true")
  })

/** The keys that were written so far, those with `part` in them. */
export const writes = ({ faults }: Instance, part = ""): ReadonlyArray<string> =>
  faults.calls
    .filter(({ key, operation }) => ["create", "replace", "remove"].includes(operation) && key.includes(part))
    .map(({ key }) => key)

/** A running instance that has joined. */
export const joined = (backend: MemoryState.MemoryBackend, options: InstanceOptions = {}) =>
  Effect.tap(start(backend, options), ({ lease }) => until(lease.valid))

/** What stands in the store, as JSON; undefined: nothing. */
export const stored = (backend: MemoryState.MemoryBackend, key: string): any => {
  const entry = backend.entries.get(key)
  return entry === undefined ? undefined : JSON.parse(entry.value)
}

/** Somebody else's write, past every fault. */
export const meddle = (backend: MemoryState.MemoryBackend, key: string, change: (value: any) => unknown) =>
  Effect.gen(function* () {
    const store = Context.get(yield* Layer.build(MemoryState.layer(backend)), StateStore)
    const found = yield* store.get(key)
    const value = JSON.stringify(change(Option.isSome(found) ? JSON.parse(found.value.value) : undefined))
    return yield* Option.isSome(found)
      ? store.replace(key, value, found.value.version)
      : (store.create(key, value) as Effect.Effect<Version, never>)
  }).pipe(Effect.scoped, Effect.orDie)
