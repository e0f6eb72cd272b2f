/**
 * One state store component behind the sidecar's gRPC API.
 *
 * The SDK's own state methods drop etags and read a broken connection as a lost race; its low-level client does neither.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import {
  type Call,
  CallFailed,
  DEADLINE_EXCEEDED,
  type Endpoint,
  failed,
  isAnswer,
  open,
  RESOURCE_EXHAUSTED
} from "../sidecar/GrpcConnection.js"
import { type Asking, RequestCoalescer } from "./RequestCoalescer.js"

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
  /** In a request of its own. */
  readonly getAlone: StateClient["get"]
  /** Distinct keys; absent ones are absent. One that cannot be read fails the whole call. */
  readonly getBulk: (
    keys: ReadonlyArray<string>,
    withinMs: number
  ) => Effect.Effect<ReadonlyMap<string, Item>, CallFailed>
  /**
   * A compare-and-set at the etag; without one only if the key is absent. Success never tells the new etag. `alone`: in a
   * request of its own.
   */
  readonly save: (write: Write, withinMs: number, alone: boolean) => Effect.Effect<WriteOutcome, CallFailed>
}

/**
 * What an answer to a write says.
 *
 * `Confirmed`: it is done. `Ambiguous`: the write was one of several in a request. Whatever the answer, the caller must
 * read the key. A failure does not say which write failed, and a success may be that of others. Where operators gave the
 * sidecar a retry policy, it repeats only the writes that did not lose their race. The success of those is the answer then
 * (runtime 1.18.2, `PerformBulkStoreOperation`).
 */
export type WriteOutcome = { readonly _tag: "Confirmed" } | { readonly _tag: "Ambiguous"; readonly failure: CallFailed }

const CONCURRENCY_FIRST_WRITE = 1
const CONSISTENCY_STRONG = 2
/** Keys that a store without a bulk read of its own asks for at once. */
const PARALLELISM = 32

export interface Options {
  readonly storeName: string
  /** calls that begin at once are made as one request */
  readonly together: boolean
}

/** Its connection is closed with the scope. */
export const make = (
  endpoint: Endpoint,
  { storeName, together }: Options
): Effect.Effect<StateClient, never, Scope.Scope> =>
  Effect.map(open(endpoint), (call) => {
    /**
     * A connection may have been broken for long before a call finds out. So a call that changes nothing is made once more,
     * on a new connection.
     */
    const read: Call = (withinMs, send) =>
      Effect.suspend(() => {
        const until = performance.now() + withinMs
        return Effect.catchIf(
          call(withinMs, send),
          ({ code, kind }) => kind === "broken" && code !== DEADLINE_EXCEEDED && code !== RESOURCE_EXHAUSTED,
          () => Effect.suspend(() => call(until - performance.now(), send))
        )
      })

    const bulk = (keys: ReadonlyArray<string>) => ({
      storeName,
      keys: [...keys],
      parallelism: PARALLELISM,
      metadata: {}
    })

    const getAlone: Asking<{ readonly key: string }, Item | undefined>["alone"] = async (dapr, { key }, options) => {
      const asked = { storeName, key, consistency: CONSISTENCY_STRONG, metadata: {} }
      const { data, etag } = await dapr.getState(asked, options)
      return itemOf(data, etag)
    }
    const gets = new RequestCoalescer({
      size: ({ key }) => key.length,
      alone: getAlone,
      // a key that is absent here is asked for alone: an answer that lacks it is not believed (see `BulkRead.ts`)
      together: async (dapr, wanted, options) => {
        const { items } = await dapr.getBulkState(bulk(wanted.map(({ key }) => key)), options)
        const found = new Map<string, Item | undefined>()
        for (const { data, error, etag, key } of items) if (error === "") found.set(key, itemOf(data, etag))
        return ({ key }) => found.get(key)
      },
      again: (error) => isAnswer(error) || (error as { readonly code?: unknown }).code === RESOURCE_EXHAUSTED
    })

    const askGet: typeof getAlone = (dapr, question, options) =>
      together ? gets.ask(dapr, question, options) : getAlone(dapr, question, options)

    const saveAlone: Asking<Write, WriteOutcome>["alone"] = async (dapr, write, options) => {
      await dapr.saveState({ storeName, states: [stateOf(write)] }, options)
      return CONFIRMED
    }
    const saves = new RequestCoalescer<Write, WriteOutcome>({
      size: ({ text }) => text.length * 3,
      alone: saveAlone,
      together: async (dapr, writes, options) => {
        try {
          await dapr.saveState({ storeName, states: writes.map(stateOf) }, options)
          return () => AMBIGUOUS
        } catch (error) {
          if (!isAnswer(error)) throw error
          const failure = failed(error)
          return () => ({ _tag: "Ambiguous", failure })
        }
      },
      again: () => false
    })

    return {
      get: (key, withinMs) => read(withinMs, (dapr, options) => askGet(dapr, { key }, options)),
      getAlone: (key, withinMs) => read(withinMs, (dapr, options) => getAlone(dapr, { key }, options)),
      getBulk: (keys, withinMs) =>
        read(withinMs, (dapr, options) => dapr.getBulkState(bulk(keys), options)).pipe(
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
      save: (write, withinMs, alone) =>
        call(withinMs, (dapr, options) =>
          alone || !together ? saveAlone(dapr, write, options) : saves.ask(dapr, write, options)
        )
    }
  })

const CONFIRMED: WriteOutcome = { _tag: "Confirmed" }
const AMBIGUOUS: WriteOutcome = {
  _tag: "Ambiguous",
  failure: new CallFailed({ kind: "answered", code: 2, message: "the key was changed by others meanwhile" })
}

const stateOf = ({ etag, key, text, ttlInSeconds }: Write) => ({
  key,
  value: Buffer.from(text),
  ...(etag !== undefined && { etag: { value: etag } }),
  metadata: { ttlInSeconds },
  options: { concurrency: CONCURRENCY_FIRST_WRITE, consistency: CONSISTENCY_STRONG }
})

/** A stored text is never empty, so an empty answer means that the key is absent. */
const itemOf = (data: Uint8Array, etag: string): Item | undefined =>
  data.length === 0 ? undefined : { text: Buffer.from(data.buffer, data.byteOffset, data.length).toString(), etag }
