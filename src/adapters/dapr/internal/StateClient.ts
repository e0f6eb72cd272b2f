/**
 * One state store component behind the sidecar's gRPC API.
 *
 * The SDK's own state methods drop etags and read a broken connection as a lost race; its low-level client does neither.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Endpoint } from "../Sidecar.js"
import { type Call, CallFailed, DEADLINE_EXCEEDED, open, RESOURCE_EXHAUSTED } from "./connection.js"

/** What stands under a key, as stored. */
export interface Item {
  readonly text: string
  readonly etag: string
}

export interface Write {
  readonly key: string
  readonly text: string
  readonly etag: string | undefined
  readonly ttlInSeconds: string
}

export interface StateClient {
  /** Undefined: absent. */
  readonly get: (key: string, withinMs: number) => Effect.Effect<Item | undefined, CallFailed>
  /** Distinct keys; absent ones are absent. One that cannot be read fails the whole call. */
  readonly getBulk: (
    keys: ReadonlyArray<string>,
    withinMs: number
  ) => Effect.Effect<ReadonlyMap<string, Item>, CallFailed>
  /** A compare-and-set at the etag; without one only if the key is absent. Success never tells the new etag. */
  readonly save: (write: Write, withinMs: number) => Effect.Effect<void, CallFailed>
}

const CONCURRENCY_FIRST_WRITE = 1
const CONSISTENCY_STRONG = 2
/** Keys that a store without a bulk read of its own asks for at once. */
const PARALLELISM = 32

/** Its connection is closed with the scope. */
export const make = (endpoint: Endpoint, storeName: string): Effect.Effect<StateClient, never, Scope.Scope> =>
  Effect.gen(function* () {
    const call = yield* open(endpoint)

    /** A connection that broke may have been broken for long: what changes nothing is asked once more, on a new one. */
    const read: Call = (withinMs, send) =>
      Effect.suspend(() => {
        const until = performance.now() + withinMs
        return Effect.catchIf(
          call(withinMs, send),
          ({ code, kind }) => kind === "broken" && code !== DEADLINE_EXCEEDED && code !== RESOURCE_EXHAUSTED,
          () => Effect.suspend(() => call(until - performance.now(), send))
        )
      })

    return {
      get: (key, withinMs) =>
        read(withinMs, (dapr, options) =>
          dapr.getState({ storeName, key, consistency: CONSISTENCY_STRONG, metadata: {} }, options)
        ).pipe(Effect.map(({ data, etag }) => itemOf(data, etag))),

      getBulk: (keys, withinMs) =>
        read(withinMs, (dapr, options) =>
          dapr.getBulkState({ storeName, keys: [...keys], parallelism: PARALLELISM, metadata: {} }, options)
        ).pipe(
          Effect.flatMap(({ items }) => {
            const found = new Map<string, Item>()
            for (const { data, error, etag, key } of items) {
              if (error !== "") return new CallFailed({ kind: "answered", code: 13, message: error })
              const item = itemOf(data, etag)
              if (key !== "" && item !== undefined) found.set(key, item)
            }
            return Effect.succeed(found)
          })
        ),

      save: ({ etag, key, text, ttlInSeconds }, withinMs) => {
        const state = {
          key,
          value: Buffer.from(text),
          ...(etag !== undefined && { etag: { value: etag } }),
          metadata: { ttlInSeconds },
          options: { concurrency: CONCURRENCY_FIRST_WRITE, consistency: CONSISTENCY_STRONG }
        }
        return Effect.asVoid(call(withinMs, (dapr, options) => dapr.saveState({ storeName, states: [state] }, options)))
      }
    }
  })

/** What we store is never empty, so no bytes mean no key. */
const itemOf = (data: Uint8Array, etag: string): Item | undefined =>
  data.length === 0 ? undefined : { text: Buffer.from(data.buffer, data.byteOffset, data.length).toString(), etag }
