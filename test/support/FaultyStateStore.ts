/**
 * A state store that fails as told, around any other. Time is the Effect Clock's, so a test moves it.
 *
 * ```ts
 * const faulty = yield* FaultyStateStore.make()
 * faulty.blackhole = true                      // every call hangs until its caller gives up
 * faulty.loseResponse(1)                       // the next write lands, its caller learns nothing
 * faulty.only = ({ key }) => key === INDEX_KEY // … of this key alone
 * ```
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import { StateStoreUnavailable } from "../../src/domain/Errors.js"
import { StateStore } from "../../src/ports/StateStore.js"

type Store = StateStore["Type"]

export interface StateCall {
  readonly operation: "get" | "getMany" | "create" | "replace" | "remove" | "ping"
  /** of getMany its keys, joined by a space; of ping empty */
  readonly key: string
  /** when it was called, milliseconds of the Clock */
  readonly at: number
}

/** A write that landed late, and how: "ok" or the tag of its failure. */
export interface LateWrite extends StateCall {
  readonly outcome: string
}

const isWrite = ({ operation }: StateCall) =>
  operation === "create" || operation === "replace" || operation === "remove"
const unknown = new StateStoreUnavailable({ outcome: "unknown", reason: "the answer was lost" })

export class FaultyStateStore {
  /** Every call, in order, whatever became of it. Empty it with `calls.length = 0`. */
  readonly calls: Array<StateCall> = []
  readonly lateWrites: Array<LateWrite> = []

  /** Calls hang until their caller's deadline or interruption; nothing is done. */
  blackhole = false
  /** Calls fail at once; nothing is done. */
  unavailable = false
  /** Calls end by an exception that nobody foresaw; nothing is done. */
  defect = false
  /** Calls are done this much later. Interrupted before, nothing is done. */
  slow: Duration.Duration | undefined
  /** The calls that the faults are for; all are recorded. */
  only: (call: StateCall) => boolean = () => true

  private rejecting = 0
  private losing = 0
  private swallowing = 0
  private late: { count: number; after: Duration.Duration } = { count: 0, after: Duration.zero }

  constructor(
    private readonly inner: Store,
    private readonly scope: Scope.Scope
  ) {}

  /** The next `n` calls fail at once; nothing is done. */
  rejectNext(n: number): void {
    this.rejecting = n
  }
  /** The next `n` writes are done; the caller gets `outcome: "unknown"`. */
  loseResponse(n: number): void {
    this.losing = n
  }
  /** The next `n` writes are done; the call hangs until its caller's deadline or interruption. */
  swallowResponse(n: number): void {
    this.swallowing = n
  }
  /** Of the next `n` writes the caller gets `outcome: "unknown"` at once; they are done later, as of then. */
  landLate(after: Duration.Duration, n = 1): void {
    this.late = { count: n, after }
  }
  /** No faults from now on. Calls that hang go on hanging, late writes still land. */
  heal(): void {
    this.blackhole = this.unavailable = this.defect = false
    this.slow = undefined
    this.only = () => true
    this.rejecting = this.losing = this.swallowing = this.late.count = 0
  }

  /** The calls of one operation, or all writes. */
  count(operation: StateCall["operation"] | "writes"): number {
    return this.calls.filter((call) => (operation === "writes" ? isWrite(call) : call.operation === operation)).length
  }

  readonly store: Store = {
    get: (key) => this.call("get", key, this.inner.get(key)),
    getMany: (keys) => this.call("getMany", keys.join(" "), this.inner.getMany(keys)),
    create: (key, value, options) => this.call("create", key, this.inner.create(key, value, options)),
    replace: (key, value, expected, options) =>
      this.call("replace", key, this.inner.replace(key, value, expected, options)),
    remove: (key, expected) => this.call("remove", key, this.inner.remove(key, expected)),
    ping: Effect.suspend(() => this.call("ping", "", this.inner.ping))
  }

  readonly layer: Layer.Layer<StateStore> = Layer.succeed(StateStore, this.store)

  private call<A, E extends { readonly _tag: string }>(
    operation: StateCall["operation"],
    key: string,
    effect: Effect.Effect<A, E>
  ): Effect.Effect<A, E | StateStoreUnavailable> {
    return Effect.flatMap(Clock.currentTimeMillis, (at): Effect.Effect<A, E | StateStoreUnavailable> => {
      const call: StateCall = { operation, key, at }
      this.calls.push(call)
      if (!this.only(call)) return effect
      if (this.blackhole) return Effect.never
      if (this.defect) return Effect.die(new TypeError("told to throw"))
      if (this.unavailable || this.rejecting > 0) {
        if (!this.unavailable) this.rejecting -= 1
        return Effect.fail(new StateStoreUnavailable({ reason: "told to fail" }))
      }
      const slowed = this.slow === undefined ? effect : Effect.delay(effect, this.slow)
      if (!isWrite(call)) return slowed
      if (this.late.count > 0) {
        this.late.count -= 1
        return Effect.zipRight(this.doLate(call, effect), Effect.fail(unknown))
      }
      if (this.losing > 0) {
        this.losing -= 1
        return Effect.zipRight(Effect.exit(slowed), Effect.fail(unknown))
      }
      if (this.swallowing > 0) {
        this.swallowing -= 1
        return Effect.zipRight(Effect.exit(slowed), Effect.never)
      }
      return slowed
    })
  }

  private doLate<A, E extends { readonly _tag: string }>(call: StateCall, effect: Effect.Effect<A, E>) {
    return effect.pipe(
      Effect.either,
      Effect.tap((result) =>
        Effect.sync(() => this.lateWrites.push({ ...call, outcome: Either.isLeft(result) ? result.left._tag : "ok" }))
      ),
      Effect.delay(this.late.after),
      Effect.interruptible,
      Effect.forkIn(this.scope)
    )
  }
}

/** Around a handle; late writes land as long as the scope lives. */
export const around = (inner: Store): Effect.Effect<FaultyStateStore, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => new FaultyStateStore(inner, scope))

/** Around a memory store of its own, or a handle on `backend`. */
export const make = (backend?: MemoryState.MemoryBackend): Effect.Effect<FaultyStateStore, never, Scope.Scope> =>
  Effect.flatMap(Layer.build(MemoryState.layer(backend)), (context) => around(Context.get(context, StateStore)))
