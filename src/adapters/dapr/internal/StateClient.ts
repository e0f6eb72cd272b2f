/**
 * One state store component behind the sidecar's gRPC API, as Effects: every call has a deadline, interruption cancels it,
 * and a failure says whether the sidecar answered or the way to it broke.
 *
 * The SDK's own state methods drop etags and read a broken connection as a lost race; its low-level client does neither.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Endpoint } from "../Sidecar.js"

/** Represents a call without success. */
export class CallFailed extends Data.TaggedError("CallFailed")<{
  /**
   * `answered`: the sidecar says so. `unsent`: nothing has left this process. `broken`: the connection was lost or the
   * deadline came, so nobody knows.
   */
  readonly kind: "answered" | "unsent" | "broken"
  /** gRPC status code; made up by the client unless the sidecar answered */
  readonly code: number
  readonly message: string
}> {}

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

/** gRPC status codes */
export const DEADLINE_EXCEEDED = 4
export const RESOURCE_EXHAUSTED = 8
export const UNAUTHENTICATED = 16
const CONCURRENCY_FIRST_WRITE = 1
const CONSISTENCY_STRONG = 2
/** Keys that a store without a bulk read of its own asks for at once. */
const PARALLELISM = 32

/** The SDK prints to the console otherwise. */
const nothing = () => {}
const SILENT = { error: nothing, warn: nothing, info: nothing, verbose: nothing, debug: nothing }

export const make = (endpoint: Endpoint, storeName: string): Effect.Effect<StateClient> =>
  Effect.gen(function* () {
    // Loaded here, because the other backing need not wait for a third of a second of libraries.
    const { GRPCClient } = yield* Effect.promise(() => import("@dapr/dapr"))
    const token = endpoint.apiToken
    const dapr = yield* Effect.promise(() =>
      new GRPCClient({
        daprHost: hostOf(endpoint.host),
        daprPort: String(endpoint.grpcPort),
        ...(token !== undefined && { daprApiToken: Redacted.value(token) }),
        logger: { service: SILENT }
      }).getClient(false)
    )

    const call = <A>(
      withinMs: number,
      send: (options: { readonly signal: AbortSignal; readonly timeoutMs: number }) => Promise<A>
    ): Effect.Effect<A, CallFailed> =>
      Effect.tryPromise({
        // a time-out of nothing would be none at all
        try: (signal) => send({ signal, timeoutMs: Math.max(1, Math.ceil(withinMs)) }),
        catch: failed
      })

    /** A connection that broke may have been broken for long: what changes nothing is asked once more, on a new one. */
    const read: typeof call = (withinMs, send) =>
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
        read(withinMs, (options) =>
          dapr.getState({ storeName, key, consistency: CONSISTENCY_STRONG, metadata: {} }, options)
        ).pipe(Effect.map(({ data, etag }) => itemOf(data, etag))),

      getBulk: (keys, withinMs) =>
        read(withinMs, (options) =>
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
        return Effect.asVoid(call(withinMs, (options) => dapr.saveState({ storeName, states: [state] }, options)))
      }
    }
  })

const hostOf = (host: string): string => (host.includes(":") && !host.startsWith("[") ? `[${host}]` : host)

/** What we store is never empty, so no bytes mean no key. */
const itemOf = (data: Uint8Array, etag: string): Item | undefined =>
  data.length === 0 ? undefined : { text: Buffer.from(data.buffer, data.byteOffset, data.length).toString(), etag }

const UNSENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"])

const failed = (error: unknown): CallFailed => {
  const { cause, code, metadata, rawMessage } = error as {
    readonly code?: unknown
    readonly rawMessage?: unknown
    readonly metadata?: unknown
    readonly cause?: unknown
  }
  const message = String(rawMessage ?? error)
  const status = typeof code === "number" ? code : 2
  // The client has codes of its own for what happens on the way; only an answer of the sidecar carries its status.
  if (metadata instanceof Headers && metadata.has("grpc-status")) {
    return new CallFailed({ kind: "answered", code: status, message })
  }
  const reason = cause instanceof Error && "code" in cause ? String(cause.code) : ""
  return new CallFailed({ kind: UNSENT.has(reason) ? "unsent" : "broken", code: status, message })
}
