/** Instances on one store in memory, under the test clock, with a store that can be broken in between. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import * as NoPeers from "../../src/adapters/peers/NoPeers.js"
import { Settings, type SettingsShape } from "../../src/config/Settings.js"
import { InstanceId } from "../../src/membership/InstanceId.js"
import { Lease, type LeaseChange } from "../../src/membership/Lease.js"
import { Membership } from "../../src/membership/Membership.js"
import { ProcessIdentity } from "../../src/membership/ProcessIdentity.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { ConnectionStore } from "../../src/ownership/ConnectionStore.js"
import type { Peers } from "../../src/ports/Peers.js"
import { StateStore, type Version } from "../../src/ports/StateStore.js"
import * as FaultyStateStore from "../support/FaultyStateStore.js"

export const SETTINGS = {
  heartbeatInterval: Duration.seconds(2),
  heartbeatTtl: Duration.seconds(6),
  crashDetection: "refused" as const
}

export interface InstanceOptions {
  readonly id?: string
  readonly pid?: number
  readonly gone?: (pid: number) => boolean
  readonly address?: string
  readonly peers?: Layer.Layer<Peers>
  readonly settings?: Partial<SettingsShape>
}

/** One process: what it offers, and what happened to its lease. */
export interface Instance {
  readonly faults: FaultyStateStore.FaultyStateStore
  readonly membership: Membership["Type"]
  readonly lease: Lease["Type"]
  readonly store: ConnectionStore["Type"]
  readonly changes: Array<LeaseChange>
  /** SIGKILL: nothing more is written, nothing is said. */
  readonly crash: Effect.Effect<void>
}

export const start = (backend: MemoryState.MemoryBackend, options: InstanceOptions = {}) =>
  Effect.gen(function* () {
    const faults = yield* FaultyStateStore.make(backend)
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const settings = { ...SETTINGS, ...options.settings } as SettingsShape
    const pid = options.pid ?? 1
    const world = Layer.mergeAll(
      faults.layer,
      Layer.succeed(Settings, settings),
      Layer.succeed(InstanceId, { id: options.id ?? "one", address: options.address ?? "http://127.0.0.1:5001" }),
      options.peers ?? NoPeers.layer,
      Layer.succeed(ProcessIdentity, {
        bootId: "boot",
        pidNamespace: "ns",
        pid,
        processStart: "1",
        isGone: (other) => options.gone?.(other.pid) ?? false
      }),
      Metrics.layer
    )
    const context = yield* Layer.buildWithScope(
      ConnectionStore.layer.pipe(Layer.provideMerge(Membership.layer), Layer.provide(world)),
      scope
    )
    const lease = Context.get(context, Lease)
    const changes: Array<LeaseChange> = []
    if (lease.valid()) changes.push("held")
    lease.onChange((change) => changes.push(change))
    const instance: Instance = {
      faults,
      lease,
      changes,
      membership: Context.get(context, Membership),
      store: Context.get(context, ConnectionStore),
      crash: Effect.suspend(() => {
        faults.blackhole = true
        return Scope.close(scope, Exit.void)
      })
    }
    return instance
  })

/** Steps the clock until the condition holds. */
export const until = (condition: () => boolean, step: Duration.DurationInput = "50 millis", limit = 400) =>
  Effect.gen(function* () {
    for (let i = 0; i < limit && !condition(); i++) yield* TestClock.adjust(step)
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
