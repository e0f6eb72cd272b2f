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
import { Settings, type SettingsShape } from "../../src/config/Settings.js"
import { StateStoreUnavailable } from "../../src/domain/Errors.js"
import { InstanceId } from "../../src/membership/InstanceId.js"
import { Lease, type LeaseChange } from "../../src/membership/Lease.js"
import { Membership } from "../../src/membership/Membership.js"
import { ProcessIdentity } from "../../src/membership/ProcessIdentity.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { ConnectionStore } from "../../src/ownership/ConnectionStore.js"
import { StateStore, type Version } from "../../src/ports/StateStore.js"

type Store = StateStore["Type"]
type Operation = "get" | "getMany" | "create" | "replace" | "remove"
export interface Call {
  readonly operation: Operation
  readonly key: string
}

/** A store between an instance and the real one: it records, and breaks on demand. */
export class Faults {
  readonly calls: Array<Call> = []
  /** blackhole: no call arrives, each ends by its deadline; refused: the store says at once that nothing was changed */
  mode: "up" | "blackhole" | "refused" = "up"
  /** of these writes the answer is lost: they land, and nobody is told */
  loses: (call: Call) => boolean = () => false
  /** these writes are held back: unknown to the writer, until `land` lets them happen */
  delays: (call: Call) => boolean = () => false
  readonly #held: Array<Effect.Effect<unknown, unknown>> = []

  /** The writes that were held back arrive now. */
  readonly land = Effect.suspend(() => Effect.forEach(this.#held.splice(0), (write) => Effect.either(write)))

  writes(part = ""): ReadonlyArray<Call> {
    return this.calls.filter(({ key, operation }) => !operation.startsWith("get") && key.includes(part))
  }

  wrap(real: Store): Store {
    const run = <A, E>(call: Call, body: Effect.Effect<A, E>): Effect.Effect<A, E | StateStoreUnavailable> =>
      Effect.suspend((): Effect.Effect<A, E | StateStoreUnavailable> => {
        this.calls.push(call)
        const write = !call.operation.startsWith("get")
        const silent = Effect.zipRight(
          Effect.sleep(DEADLINE),
          new StateStoreUnavailable({ ...(write && { outcome: "unknown" }), reason: "no answer" })
        )
        if (this.mode === "refused") return new StateStoreUnavailable({ reason: "refused" })
        if (this.mode === "blackhole") return silent
        if (write && this.delays(call)) {
          this.#held.push(body)
          return silent
        }
        if (write && this.loses(call)) return Effect.zipRight(Effect.either(body), silent)
        return body
      })
    return {
      get: (key) => run({ operation: "get", key }, real.get(key)),
      getMany: (keys) => run({ operation: "getMany", key: String(keys.length) }, real.getMany(keys)),
      create: (key, value, o) => run({ operation: "create", key }, real.create(key, value, o)),
      replace: (key, value, at, o) => run({ operation: "replace", key }, real.replace(key, value, at, o)),
      remove: (key, at) => run({ operation: "remove", key }, real.remove(key, at)),
      ping: real.ping
    }
  }
}
const DEADLINE = "800 millis"

/** Once, then never again. */
export const once = (matches: (call: Call) => boolean): ((call: Call) => boolean) => {
  let done = false
  return (call) => {
    if (done || !matches(call)) return false
    return (done = true)
  }
}

export interface InstanceOptions {
  readonly id?: string
  readonly pid?: number
  readonly gone?: (pid: number) => boolean
  readonly settings?: Partial<SettingsShape>
}

/** One process: what it offers, and what happened to its lease. */
export interface Instance {
  readonly faults: Faults
  readonly membership: Membership["Type"]
  readonly lease: Lease["Type"]
  readonly store: ConnectionStore["Type"]
  readonly changes: Array<LeaseChange>
  /** SIGKILL: nothing more is written, nothing is said. */
  readonly crash: Effect.Effect<void>
}

export const start = (backend: MemoryState.MemoryBackend, options: InstanceOptions = {}) =>
  Effect.gen(function* () {
    const faults = new Faults()
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const real = Context.get(yield* Layer.buildWithScope(MemoryState.layer(backend), scope), StateStore)
    const settings = {
      heartbeatInterval: Duration.seconds(2),
      heartbeatTtl: Duration.seconds(6),
      ...options.settings
    } as SettingsShape
    const pid = options.pid ?? 1
    const world = Layer.mergeAll(
      Layer.succeed(StateStore, faults.wrap(real)),
      Layer.succeed(Settings, settings),
      Layer.succeed(InstanceId, { id: options.id ?? "one", address: "http://127.0.0.1:5001" }),
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
      crash: Scope.close(scope, Exit.void)
    }
    return instance
  })

/** Steps the clock until the condition holds. */
export const until = (condition: () => boolean, step: Duration.DurationInput = "50 millis", limit = 400) =>
  Effect.gen(function* () {
    for (let i = 0; i < limit && !condition(); i++) yield* TestClock.adjust(step)
    if (!condition()) return yield* Effect.dieMessage("the condition did not come true")
  })

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
