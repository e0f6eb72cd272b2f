/**
 * The HTTP/2 connection to the sidecar's gRPC API, as Effects. Every call has a deadline, interruption cancels it, and a
 * failure says whether the sidecar answered or the way to it broke. It is made by the first call, made anew by the first
 * one after it broke, and closed with its scope.
 */
import type { ClientHttp2Session } from "node:http2"
import type { Client } from "@connectrpc/connect"
import type { GrpcTransportOptions } from "@connectrpc/connect-node"
import type { Dapr } from "@dapr/dapr/proto/dapr/proto/runtime/v1/dapr_pb.js"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { bracketed } from "../../../common/Hosts.js"

/** Where the sidecar listens, and the token it asks for. */
export interface Endpoint {
  readonly host: string
  readonly httpPort: number
  readonly grpcPort: number
  readonly apiToken: Redacted.Redacted<string> | undefined
}

/** Represents a call without success. */
export class CallFailed extends Data.TaggedError("CallFailed")<{
  /**
   * `answered`: the sidecar says so. `unsent`: nothing has left this process. `broken`: the connection was lost or the
   * deadline came, so the outcome is unknown.
   */
  readonly kind: "answered" | "unsent" | "broken"
  /** gRPC status code; made up by the client unless the sidecar answered */
  readonly code: number
  readonly message: string
}> {}

/** gRPC status codes */
export const DEADLINE_EXCEEDED = 4
export const RESOURCE_EXHAUSTED = 8
export const UNIMPLEMENTED = 12
export const UNAUTHENTICATED = 16

export interface CallOptions {
  readonly signal: AbortSignal
  readonly timeoutMs: number
  readonly headers: Readonly<Record<string, string>>
}

/** One call: what is asked, and how long it may take. */
export type Call = <A>(
  withinMs: number,
  send: (dapr: Client<typeof Dapr>, options: CallOptions) => Promise<A>
) => Effect.Effect<A, CallFailed>

type Sessions = NonNullable<GrpcTransportOptions["sessionManager"]>

/** The sidecar's own limit, unless it was told another. */
const MAX_BYTES = 4 * 1024 * 1024

/**
 * What the SDK's `GRPCClient.getClient(false)` makes, but with a session manager that is made here. The SDK gives no access
 * to its own. Without access the connection cannot be closed, and a break of it can end the process.
 */
export const open = (endpoint: Endpoint): Effect.Effect<Call, never, Scope.Scope> =>
  Effect.gen(function* () {
    // Loaded here, because the other backing need not wait for these libraries.
    const [{ createClient }, { createGrpcTransport, Http2SessionManager }, { Dapr }] = yield* Effect.promise(() =>
      Promise.all([
        import("@connectrpc/connect"),
        import("@connectrpc/connect-node"),
        import("@dapr/dapr/proto/dapr/proto/runtime/v1/dapr_pb.js")
      ])
    )
    const baseUrl = `http://${bracketed(endpoint.host)}:${endpoint.grpcPort}`
    const sessions = yield* Effect.acquireRelease(
      Effect.sync(() => new Http2SessionManager(baseUrl)),
      (manager) => Effect.sync(() => manager.abort())
    )
    const dapr = createClient(
      Dapr,
      createGrpcTransport({
        baseUrl,
        sessionManager: guarded(sessions),
        readMaxBytes: MAX_BYTES,
        writeMaxBytes: MAX_BYTES
      })
    )
    const token = endpoint.apiToken
    const headers: Record<string, string> = token === undefined ? {} : { "dapr-api-token": Redacted.value(token) }
    return (withinMs, send) =>
      Effect.tryPromise({
        // a time-out of 0 would be no time-out at all
        try: (signal) => send(dapr, { signal, timeoutMs: Math.max(1, Math.ceil(withinMs)), headers }),
        catch: failed
      })
  })

/**
 * A session that breaks is destroyed first and says why a moment later. A request in between makes the manager forget it,
 * and an error without a listener ends the process. So there is a listener for as long as the session lives.
 */
const guarded = (sessions: Sessions): Sessions => {
  const heard = new WeakSet<ClientHttp2Session>()
  return {
    authority: sessions.authority,
    notifyResponseByteRead: (stream) => sessions.notifyResponseByteRead(stream),
    request: async (method, path, headers, options) => {
      const stream = await sessions.request(method, path, headers, options)
      const session = stream.session as ClientHttp2Session | undefined
      if (session !== undefined && !heard.has(session)) {
        heard.add(session)
        session.on("error", () => {})
      }
      return stream
    }
  }
}

const UNSENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"])

/** The client has codes of its own for what happens on the way; only an answer of the sidecar carries its status. */
export const isAnswer = (error: unknown): boolean => {
  const { metadata } = error as { readonly metadata?: unknown }
  return metadata instanceof Headers && metadata.has("grpc-status")
}

/** What an error of the client says. */
export const failed = (error: unknown): CallFailed => {
  const { cause, code, rawMessage } = error as {
    readonly code?: unknown
    readonly rawMessage?: unknown
    readonly cause?: unknown
  }
  const message = String(rawMessage ?? error)
  const status = typeof code === "number" ? code : 2
  if (isAnswer(error)) {
    return new CallFailed({ kind: "answered", code: status, message })
  }
  const reason = cause instanceof Error && "code" in cause ? String(cause.code) : ""
  return new CallFailed({ kind: UNSENT.has(reason) ? "unsent" : "broken", code: status, message })
}
