/**
 * The client's two transports: a WebSocket that is dialled again by itself, and single HTTP exchanges. What goes wrong below
 * a call is told as an `RpcClientError` that a person can act on; a refused token or page keeps its own tag as the cause.
 */
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type { FromServerEncoded } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Socket from "@effect/platform/Socket"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { WebSocket } from "ws"
import { PermissionDenied, Unauthenticated } from "../domain/Errors.js"
import { NotMessagePack } from "./MsgPackScan.js"
import { answers, isUntrusted, MAX_BODY_BYTES, TRUST_IT } from "./Serialization.js"
import type { StreamStarts } from "./StreamStart.js"

/** Which manager is called, and with which token. */
export interface ClientOptions {
  /** where the manager listens, for example http://127.0.0.1:5001 */
  readonly url: string
  /** WSM_API_TOKEN of the manager; absent where it has none */
  readonly token?: Redacted.Redacted<string> | undefined
}

/** How long a dial may take before the calls that wait for it fail. */
const OPEN_TIMEOUT = "3 seconds"
/** How long a server may take to answer the client's close; the process is not kept alive for it. */
const CLOSE_TIMEOUT_MS = 1_000

const endpoint = (base: string, path: string): URL => new URL(path, base.endsWith("/") ? base : `${base}/`)

const authorization = (token: ClientOptions["token"]): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }

const refused = (url: string, status: number, detail: string): RpcClientError => {
  const cause =
    status === 401
      ? new Unauthenticated()
      : status === 403
        ? new PermissionDenied({ reason: detail === "" ? `${url} does not take calls under this host name` : detail })
        : undefined
  const message =
    cause?.message ??
    `${url} is not the RPC door of a manager, or it is not ready: it answered ${status} ${detail}`.trim()
  return new RpcClientError({ reason: "Protocol", message, cause })
}

/** The innermost reason of a failed dial, as one line. */
const reasonOf = (error: unknown, depth = 0): string => {
  if (typeof error !== "object" || error === null || depth > 5) return String(error)
  if (error instanceof NotMessagePack) return `${SENSELESS} ${error.message}`
  const { cause, code, error: inner, message } = error as Record<string, unknown>
  if (typeof code === "string") return code
  const deeper = inner ?? cause
  if (deeper !== undefined && deeper !== null) return reasonOf(deeper, depth + 1)
  return typeof message === "string" ? message : String(error)
}

const SENSELESS = "its answer"

const notReached = (url: string, reason: string): string => {
  if (isUntrusted(reason)) return `the certificate of ${url} is not accepted (${reason}): ${TRUST_IT}`
  if (reason === "EPROTO") return `${url} does not speak TLS (${reason}): call it by http://`
  if (reason === "ECONNRESET")
    return `${url} cut the connection (${reason}): one with a certificate is called by https://`
  return `no manager at ${url} (${reason}): start one with npm start`
}

const explain = (url: string, error: RpcClientError): RpcClientError => {
  const reason = reasonOf(error.cause)
  const status = /Unexpected server response: (\d+)/.exec(reason)?.[1]
  if (status !== undefined) return refused(url, Number(status), "")
  if (reason.startsWith(SENSELESS)) {
    const message = `${url} is not the RPC door of a manager: ${reason}`
    return new RpcClientError({ reason: "Protocol", message, cause: error.cause })
  }
  const broke = (error.cause as { readonly _tag?: string; readonly reason?: string } | undefined)?.reason === "Close"
  const message = broke ? `the link to the manager at ${url} broke; it is dialled again` : notReached(url, reason)
  return new RpcClientError({ reason: "Protocol", message, cause: error.cause })
}

/** Over `/rpc/ws`. Calls wait for the first dial, then fail at once while there is no link; it is dialled again and again. */
export const socket = ({ token, url }: ClientOptions, opened: StreamStarts) =>
  Effect.gen(function* () {
    const target = endpoint(url, "rpc/ws")
    target.protocol = target.protocol === "https:" ? "wss:" : "ws:"
    const dial = () => {
      const ws = new WebSocket(target, { headers: authorization(token), maxPayload: MAX_BODY_BYTES })
      const close = ws.close.bind(ws)
      ws.close = (code, reason) => {
        close(code, reason)
        setTimeout(() => ws.terminate(), CLOSE_TIMEOUT_MS).unref()
      }
      return ws as unknown as globalThis.WebSocket
    }
    const inner = yield* RpcClient.makeProtocolSocket().pipe(
      Effect.provideServiceEffect(
        Socket.Socket,
        Effect.provideService(
          Socket.makeWebSocket(target.href, { openTimeout: OPEN_TIMEOUT }),
          Socket.WebSocketConstructor,
          dial
        )
      ),
      Effect.provideService(RpcSerialization.RpcSerialization, answers)
    )
    return {
      ...inner,
      run: (handle) =>
        inner.run((message) => {
          const passed = opened.incoming(message)
          if (passed === undefined) return Effect.void
          return handle(
            passed._tag === "ClientProtocolError" ? { ...passed, error: explain(url, passed.error) } : passed
          )
        }),
      send: (message, transferables) => {
        opened.outgoing(message)
        return Effect.mapError(inner.send(message, transferables), (error) => explain(url, error))
      }
    } satisfies RpcClient.Protocol["Type"]
  })

/** Over `POST /rpc`: one exchange a call. */
export const http = ({ token, url }: ClientOptions) =>
  RpcClient.Protocol.make((respond) => {
    const target = endpoint(url, "rpc")
    const exchange = (body: Uint8Array) =>
      Effect.tryPromise({
        try: async (signal) => {
          const headers = { "content-type": answers.contentType, ...authorization(token) }
          const answer = await fetch(target, { method: "POST", headers, body, signal })
          const bytes = await bounded(answer)
          if (!answer.ok) throw refused(url, answer.status, detailOf(bytes))
          return answers.unsafeMake().decode(bytes) as ReadonlyArray<FromServerEncoded>
        },
        catch: (cause) =>
          cause instanceof RpcClientError
            ? cause
            : explain(url, new RpcClientError({ reason: "Protocol", message: "the exchange failed", cause }))
      })
    return Effect.succeed({
      send: (message) =>
        message._tag === "Request"
          ? exchange(answers.unsafeMake().encode(message) as Uint8Array).pipe(
              Effect.flatMap((answers) => Effect.forEach(answers, respond, { discard: true }))
            )
          : Effect.void,
      supportsAck: false,
      supportsTransferables: false
    })
  })

/** The body of an answer. Fails where the body is larger than any manager sends. */
const bounded = async ({ body }: Response): Promise<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += (chunk as Uint8Array).length
    if (bytes > MAX_BODY_BYTES) throw new NotMessagePack(`has more than ${MAX_BODY_BYTES} bytes`, true)
    chunks.push(chunk as Uint8Array)
  }
  return Buffer.concat(chunks)
}

const detailOf = (body: Uint8Array): string => {
  try {
    const { detail } = JSON.parse(Buffer.from(body).toString()) as { readonly detail?: unknown }
    return typeof detail === "string" ? detail : ""
  } catch {
    return ""
  }
}
