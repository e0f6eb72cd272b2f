/** Opens a WebSocket to a peer's door, proves to each end the identity of the other, and says what a failure proves. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { WebSocket } from "ws"
import { cut } from "../../domain/Errors.js"
import { type PeerFailure, PeerRefused, PeerSilent } from "../../ports/Peers.js"
import { PEER_SUBPROTOCOL } from "../../rpc/PeerProof.js"
import { PEERS_PATH } from "../../rpc/PeerRpcs.js"
import { isUntrusted, MAX_BODY_BYTES, TRUST_IT } from "../../rpc/Serialization.js"
import * as DialPolicy from "./DialPolicy.js"
import { prove, type Proving } from "./Proving.js"

export interface DialOptions extends Omit<Proving, "to"> {
  /** between hosts in TLS alone */
  readonly secureOnly: boolean
  /** the certificate that is shown, and the authority that must have signed the peer's; undefined: none, and Node's authorities */
  readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer } | undefined
}

/** How long a dial may take, from the look-up of the name to the answered upgrade. */
export const DIAL_TIMEOUT = Duration.seconds(3)
/** How long a peer may take to answer the close of this end; the process is not kept alive for it. */
const CLOSE_TIMEOUT_MS = 1_000

const endpoint = (address: string): URL => {
  const url = new URL(PEERS_PATH, address)
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:"
  return url
}

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown } | null)?.code

/** A name may have several addresses: all of them must have refused. */
const isRefused = (error: unknown): boolean => {
  const all = error instanceof AggregateError && error.errors.length > 0 ? error.errors : [error]
  return all.every((one) => codeOf(one) === "ECONNREFUSED")
}

const reasonOf = (error: unknown): string => {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  if (typeof code === "string" && isUntrusted(code)) return `its certificate is not accepted (${code}): ${TRUST_IT}`
  if (message === "") return typeof code === "string" ? code : "the dial failed"
  return cut(message)
}

const answered = (status: number): string => {
  switch (status) {
    case 401:
    case 403:
      return `it answered ${status}: it is of an older version, or no instance`
    case 503:
      return "it answered 503: it is just starting or stopping"
    default:
      return `it answered ${status}: no instance of this version listens there`
  }
}

/** An open socket to one of the fleet, until the scope closes; its listeners must be set before the next turn of the event loop. */
export const dial = (
  address: string,
  { keys, me, secureOnly, tls }: DialOptions
): Effect.Effect<WebSocket, PeerFailure, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.interruptible(
      Effect.async<WebSocket, PeerFailure>((resume) => {
        const silent = (reason: string) => resume(new PeerSilent({ address, reason, sent: false }))
        const why = DialPolicy.refuseUrl(address, secureOnly)
        if (why !== undefined) return silent(why)
        let ws: WebSocket
        try {
          const url = endpoint(address)
          ws = new WebSocket(url, [PEER_SUBPROTOCOL], {
            ...tls,
            lookup: DialPolicy.lookup(secureOnly && url.protocol === "ws:"),
            followRedirects: false,
            maxPayload: MAX_BODY_BYTES,
            perMessageDeflate: false,
            handshakeTimeout: Duration.toMillis(DIAL_TIMEOUT)
          })
        } catch (error) {
          return silent(reasonOf(error))
        }
        ws.on("error", (error) => {
          if (isRefused(error)) resume(new PeerRefused({ address }))
          else silent(reasonOf(error))
        })
        ws.on("unexpected-response", (_request, response) => {
          silent(answered(response.statusCode ?? 0))
          response.destroy()
          ws.terminate()
        })
        prove(ws, { keys, me, to: address }, () => resume(Effect.succeed(ws)), silent)
        return Effect.sync(() => ws.terminate())
      })
    ),
    (ws) =>
      Effect.sync(() => {
        ws.close()
        setTimeout(() => ws.terminate(), CLOSE_TIMEOUT_MS).unref()
      })
  )
