/**
 * The `ws` package behind one function: dial, and hear of everything that happens.
 *
 * Names are resolved here, once; every address a name has is judged, and what was judged is what is dialled. Redirects are
 * not followed. The callbacks are synchronous and in order: `onOpen`, then frames, then `onEnd` once.
 */
import { lookup, type LookupAddress } from "node:dns"
import { isIP, type LookupFunction } from "node:net"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ClientOptions as WsClientOptions, WebSocket } from "ws"
import { Settings } from "../config/Settings.js"
import { TargetForbidden } from "../domain/Errors.js"
import { dialFailure, fromError, parseRetryAfter } from "./DialFailures.js"
import * as EgressPolicy from "./EgressPolicy.js"
import type { DialFailure, SessionEnd } from "./Session.js"
import { MAX_TIMER_MS } from "./Timers.js"

export interface DialTarget {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly subprotocols: ReadonlyArray<string>
  /** a larger message closes the socket with 1009 */
  readonly maxMessageBytes: number
  /** offer permessage-deflate */
  readonly compression: boolean
  /** to the 101 answer, resolving the name included */
  readonly timeoutMs: number
}

export interface WireHandlers {
  readonly onOpen: (wire: Wire) => void
  readonly onFrame: (data: Buffer, binary: boolean) => void
  /** a ping or a pong came */
  readonly onControl: () => void
  readonly onEnd: (end: SessionEnd) => void
}

/** An open socket, as bare as it comes. */
export interface Wire {
  readonly subprotocol: string
  readonly send: (data: Uint8Array, binary: boolean, done: (error?: Error | null) => void) => void
  readonly ping: () => void
  readonly bufferedAmount: () => number
  readonly pause: () => void
  readonly resume: () => void
  /**
   * Starts the closing handshake; the socket is cut after a second. Frames that are still under way are handed on, unless the
   * socket was paused: nobody has room for them, and a paused socket would never see the answer.
   */
  readonly close: (code: number, reason: string) => void
  /** Cuts the socket; nothing is handed on any more but `onEnd`. */
  readonly terminate: () => void
}

export class ClientWrapper extends Context.Tag("websocketmanager/socket/ClientWrapper")<
  ClientWrapper,
  {
    /**
     * Done at the 101 answer, right after `onOpen`. Interruption cuts a socket that is not open yet; an open one belongs
     * to whoever `onOpen` told.
     */
    readonly dial: (target: DialTarget, handlers: WireHandlers) => Effect.Effect<void, DialFailure | TargetForbidden>
    /** Whether this host is refused before anything is resolved. */
    readonly refuseHost: (host: string) => TargetForbidden | undefined
  }
>() {}

export interface ClientOptions {
  /** certificates to trust in place of node's own */
  readonly ca?: string
  /** all addresses of a name; default the system's */
  readonly resolve?: Resolve
}

export type Resolve = (
  host: string,
  done: (error: Error | null, addresses: ReadonlyArray<LookupAddress>) => void
) => void

/** The egress policy is the one of the settings. */
export const layer = (options: ClientOptions = {}): Layer.Layer<ClientWrapper, never, Settings> =>
  Layer.effect(
    ClientWrapper,
    Effect.map(Settings, (settings) => make(EgressPolicy.make(settings), options))
  )

/** How long the peer has to answer our close frame. */
const CLOSE_TIMEOUT_MS = 1000

const bySystem: Resolve = (host, done) => lookup(host, { all: true }, done)

export const make = (
  policy: EgressPolicy.EgressPolicy,
  { ca, resolve = bySystem }: ClientOptions = {}
): ClientWrapper["Type"] => {
  const trust = ca === undefined ? {} : { ca }
  const forbidden = (host: string, reason: string | undefined) =>
    reason === undefined ? undefined : new TargetForbidden({ host, reason })

  return {
    refuseHost: (host) => forbidden(host, policy.refuseHost(host)),
    dial: (target, handlers) =>
      Effect.async<void, DialFailure | TargetForbidden>((resume) => {
        const host = EgressPolicy.normaliseHost(target.url.hostname)
        let ws: WebSocket | undefined
        let settled = false
        const settle = (result: Effect.Effect<void, DialFailure | TargetForbidden>) => {
          if (settled) return
          settled = true
          clearTimeout(timer)
          resume(result)
        }
        const fail = (failure: DialFailure | TargetForbidden) => {
          settle(Effect.fail(failure))
          ws?.terminate()
        }
        const timer = setTimeout(
          () => fail(dialFailure("timeout", `no answer within ${target.timeoutMs} ms`)),
          Math.min(target.timeoutMs, MAX_TIMER_MS)
        )
        const connect = (addresses: ReadonlyArray<LookupAddress>) => {
          if (settled) return
          for (const { address } of addresses) {
            const refused = forbidden(host, policy.refuseAddress(host, address))
            if (refused !== undefined) return fail(refused)
          }
          try {
            ws = new WebSocket(target.url, [...target.subprotocols], { ...wsOptions(target, addresses), ...trust })
          } catch {
            // Its message may quote the URL.
            return fail(dialFailure("http", "the opening request cannot be made"))
          }
          listen(ws, handlers, { fail, opened: () => settle(Effect.void) })
        }

        const family = isIP(host)
        if (family !== 0) connect([{ address: host, family }])
        else {
          resolve(host, (error, addresses) => {
            if (error !== null) fail(dialFailure("dns", error.message))
            else if (addresses.length === 0) fail(dialFailure("dns", `${host} has no address`))
            else connect(addresses)
          })
        }
        return Effect.sync(() => {
          settled = true
          clearTimeout(timer)
          ws?.terminate()
        })
      })
  }
}

/** ws hands what it does not know on to `http.request`; its types lag behind its options. */
type WsOptions = WsClientOptions & { readonly lookup: LookupFunction; readonly closeTimeout: number }

const wsOptions = (target: DialTarget, addresses: ReadonlyArray<LookupAddress>): WsOptions => ({
  headers: target.headers,
  followRedirects: false,
  perMessageDeflate: target.compression,
  maxPayload: target.maxMessageBytes,
  lookup: pinned(addresses),
  closeTimeout: CLOSE_TIMEOUT_MS
})

/** Answers with what was judged, whatever the name resolves to by now. */
const pinned =
  (addresses: ReadonlyArray<LookupAddress>): LookupFunction =>
  (_host, options, callback) => {
    if (options.all) callback(null, [...addresses])
    else callback(null, addresses[0]!.address, addresses[0]!.family)
  }

/** Who dials, until the socket is open or was not to be had. */
interface Dialler {
  readonly opened: () => void
  readonly fail: (failure: DialFailure) => void
}

const listen = (ws: WebSocket, handlers: WireHandlers, whoDials: Dialler): void => {
  // Let go once the socket is open: through it the listeners would keep the fibers of the dial for as long as they live.
  let dialler: Dialler | undefined = whoDials
  /** the code we sent, and why: our own close, or what ws did on bad input */
  let ours: { readonly code: number; readonly reason: string; readonly cause: "closed" | "protocol" } | undefined
  let lastError = ""
  let discard = false

  const wire: Wire = {
    get subprotocol() {
      return ws.protocol
    },
    send: (data, binary, done) => ws.send(data, { binary }, done),
    ping: () => ws.ping(),
    bufferedAmount: () => ws.bufferedAmount,
    pause: () => {
      if (ours === undefined) ws.pause()
      else discard = true
    },
    resume: () => ws.resume(),
    close: (code, reason) => {
      if (ws.readyState !== WebSocket.OPEN) return
      ours = { code, reason, cause: "closed" }
      if (ws.isPaused) discard = true
      ws.close(code, reason)
      ws.resume()
    },
    terminate: () => {
      discard = true
      ws.terminate()
    }
  }

  ws.on("open", () => {
    const { opened } = dialler!
    dialler = undefined
    handlers.onOpen(wire)
    opened()
  })
  ws.on("message", (data, binary) => {
    if (!discard) handlers.onFrame(data as Buffer, binary)
  })
  ws.on("ping", handlers.onControl)
  ws.on("pong", handlers.onControl)
  ws.on("unexpected-response", (_request, response) => {
    const status = response.statusCode ?? 0
    const redirect = status >= 300 && status < 400 ? ", and redirects are not followed" : ""
    dialler?.fail(
      dialFailure("http", `the server answered ${status}${redirect}`, {
        httpStatus: status,
        retryAfterMs: parseRetryAfter(response.headers["retry-after"], Date.now())
      })
    )
  })
  ws.on("error", (error) => {
    if (dialler !== undefined) return dialler.fail(fromError(error))
    const code = protocolCode((error as NodeJS.ErrnoException).code ?? "")
    if (code === undefined) lastError = error.message
    else ours ??= { code, reason: error.message, cause: "protocol" }
  })
  ws.on("close", (code, reason) => {
    if (dialler !== undefined) return
    // ws says 1005 for a close frame without a code and 1006 for none at all: then only ours was on the wire, if any.
    const theirs =
      code === 1005 || code === 1006 ? undefined : { code, reason: reason.toString(), cause: "closed" as const }
    const end = theirs ??
      ours ?? { code: 1006, reason: lastError === "" ? "the socket was cut" : lastError, cause: "closed" }
    handlers.onEnd({ closeCode: end.code, reason: end.reason, cause: end.cause })
  })
}

/** The close code that ws sends for what it could not read; undefined for errors of the socket itself. */
const protocolCode = (code: string): number | undefined => {
  if (code === "WS_ERR_INVALID_UTF8") return 1007
  if (code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") return 1009
  if (code === "WS_ERR_TOO_MANY_BUFFERED_PARTS") return 1008
  if (code.startsWith("WS_ERR_")) return 1002
  // Deflated data that cannot be inflated.
  return code.startsWith("Z_") ? 1007 : undefined
}
