/**
 * The state store behind a Dapr sidecar, whichever database it is. A store that cannot guarantee what the port asks is
 * refused at start; an untested one needs `WSM_ALLOW_UNTESTED_STORE`.
 *
 * Values that are JSON objects with a `nonce` stand in the store as they are; see `state/StoredText.ts` for others.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { cut, NotAvailable, StateStoreUnavailable } from "../../domain/Errors.js"
import {
  StateStore,
  tooLarge,
  type Version,
  type Versioned,
  VersionMismatch,
  type WriteOptions
} from "../../ports/StateStore.js"
import { type Component, Sidecar } from "./Sidecar.js"
import { type CallFailed, DEADLINE_EXCEEDED, UNAUTHENTICATED } from "./sidecar/GrpcConnection.js"
import { TOKEN_HINT } from "./sidecar/Metadata.js"
import { bulkRead } from "./state/BulkRead.js"
import * as CompareAndSet from "./state/CompareAndSet.js"
import { EtagCache } from "./state/EtagCache.js"
import * as StateClient from "./state/StateClient.js"
import { judge, type StoreDialect, TESTED_STORES } from "./state/StoreDialect.js"
import * as StoredText from "./state/StoredText.js"

/** Which component keeps the records, and how long one call to it may take. */
export interface Options {
  /** `WSM_STATE_STORE`: name of the component */
  readonly component: string
  /** `WSM_ALLOW_UNTESTED_STORE`: start on a store that is neither tested nor known to be unsafe */
  readonly allowUntested: boolean
  /**
   * the longest a call may take, settling its outcome included; a getMany may take five times as long. Default 1.8 seconds,
   * just under what the callers wait. So this adapter, and not a caller's time-out, says what became of a write.
   */
  readonly deadline?: Duration.Duration
}

/** S10: above the largest record (256 KiB); in any envelope it stays under the sidecar's limit of 4 MiB. */
export const MAX_VALUE_BYTES = 512 * 1024

/** Read for `ping`; never written. */
const PING_KEY = "websocketmanager/_ping"

/**
 * The store on a sidecar. Fails with NotAvailable where the component is missing or unsafe, with StateStoreUnavailable
 * where it gives no answer.
 */
export const layer = (options: Options): Layer.Layer<StateStore, NotAvailable | StateStoreUnavailable, Sidecar> =>
  Layer.scoped(
    StateStore,
    Effect.gen(function* () {
      const { components, endpoint } = yield* Sidecar
      const { component, dialect } = yield* choose(components, options)
      const client = yield* StateClient.make(endpoint, { storeName: component.name, together: dialect.together })
      const at = `${endpoint.host}:${endpoint.grpcPort}`
      const store = make({
        client,
        dialect,
        etags: new EtagCache(dialect.believedFor),
        deadlineMs: Duration.toMillis(options.deadline ?? Duration.millis(1800)),
        reason: (failure) => reasonOf(failure, component, at)
      })
      // this read opens the connection, so it has the whole deadline of a call; `ping` has less
      yield* store.get(PING_KEY)
      return store
    })
  )

/** The component and its dialect, or why not. */
const choose = (components: ReadonlyArray<Component>, { allowUntested, component: name }: Options) =>
  Effect.gen(function* () {
    const refuse = (reason: string) => new NotAvailable({ feature: `WSM_STATE_STORE=${name}`, reason })
    const component = components.find((loaded) => loaded.name === name && isStore(loaded))
    if (component === undefined) {
      const loaded = components.filter(isStore).map((store) => `${store.name} (${store.type})`)
      return yield* refuse(
        loaded.length === 0
          ? `the sidecar has loaded no state store; give it a component named ${name}, or name another in WSM_STATE_STORE`
          : `the sidecar has loaded no state store of that name, only ${loaded.join(", ")}; name one of them in WSM_STATE_STORE`
      )
    }
    const what = `${component.type} ${component.version}`.trim()
    const judgement = judge(component)
    if (judgement._tag === "Refused") {
      return yield* refuse(`${what} cannot be used: ${judgement.reason}. Stores that can: ${TESTED_STORES}`)
    }
    if (judgement._tag === "Untested") {
      const hint = judgement.hint === "" ? "" : `; ${judgement.hint}`
      if (!allowUntested) {
        return yield* refuse(
          `${what} is not tested${hint}. Tested: ${TESTED_STORES}. To use it all the same, set WSM_ALLOW_UNTESTED_STORE=true`
        )
      }
      yield* Effect.logWarning(
        `the state store ${name} is ${what}, which is not tested${hint}: two instances may come to own one connection` +
          ` if its compare-and-set is not exact. Tested: ${TESTED_STORES}`
      )
    }
    return { component, dialect: judgement.dialect } satisfies { component: Component; dialect: StoreDialect }
  })

const isStore = ({ type }: Component): boolean => type.startsWith("state.")

const reasonOf = ({ code, kind, message }: CallFailed, { name, type }: Component, at: string): string => {
  if (code === UNAUTHENTICATED) return `${at}: ${cut(message)}${TOKEN_HINT}`
  if (kind === "answered") return cut(`${name}, ${type}: ${message}`)
  if (kind === "unsent") return `no Dapr sidecar listens on ${at}`
  return code === DEADLINE_EXCEEDED
    ? `${name}, ${type}: no answer in time`
    : cut(`the connection to ${at} broke: ${message}`)
}

const make = (store: CompareAndSet.Store): StateStore["Type"] => {
  const { deadlineMs, dialect, reason } = store
  const unavailable = (failure: CallFailed) => new StateStoreUnavailable({ reason: reason(failure) })

  const write = (key: string, value: string, expected: Version | undefined, options: WriteOptions | undefined) =>
    Effect.suspend((): ReturnType<StateStore["Type"]["create"]> => {
      const refusal = tooLarge(key, value, MAX_VALUE_BYTES)
      if (refusal !== undefined) return Effect.fail(refusal)
      const text = StoredText.encode(value)
      return CompareAndSet.put(store, {
        key: StoredText.encodeKey(key),
        text,
        expected,
        ttlInSeconds: dialect.ttl(options?.ttl),
        urgent: options?.urgent ?? false
      }).pipe(Effect.catchTag("Lost", () => new VersionMismatch({ key })))
    })

  return {
    get: (key) =>
      CompareAndSet.see(store, StoredText.encodeKey(key), deadlineMs).pipe(
        Effect.mapBoth({ onFailure: unavailable, onSuccess: versioned })
      ),
    getMany: (keys) => Effect.mapError(bulkRead(store, keys), unavailable),
    create: (key, value, options) => write(key, value, undefined, options),
    replace: (key, value, expected, options) => write(key, value, expected, options),
    remove: (key, expected) =>
      CompareAndSet.remove(store, StoredText.encodeKey(key), expected).pipe(
        Effect.catchTag("Lost", () => new VersionMismatch({ key })),
        Effect.asVoid
      ),
    ping: Effect.asVoid(Effect.mapError(store.client.getAlone(PING_KEY, Math.min(deadlineMs, 1000)), unavailable))
  }
}

const versioned = (seen: CompareAndSet.Seen | undefined): Option.Option<Versioned> =>
  seen?.value === undefined ? Option.none() : Option.some({ value: seen.value, version: seen.version })
