/**
 * The `ws` package behind one function: dial, and hear of everything that happens.
 *
 * Names are resolved here, once; every address a name has is judged, and what was judged is what is dialled. Redirects are
 * not followed. The callbacks are synchronous and in order: `onOpen`, then frames, then `onEnd` once.
 */
import type { ClientRequest } from "node:http"
import { lookup, type LookupAddress } from "node:dns"
import { isIP, type LookupFunction } from "node:net"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ClientOptions as WsClientOptions, WebSocket } from "ws"
import { Settings } from "../config/Settings.js"
import { TargetForbidden } from "../domain/Errors.js"
import { guard, type Guarded, later } from "./CallbackGuard.js"
import { dialFailure, dialFaulted } from "./DialFailures.js"
import * as EgressPolicy from "./EgressPolicy.js"
import { ReadTurn } from "./ReadTurn.js"
import type { DialFailure } from "./Session.js"
import { MAX_TIMER_MS } from "./Timers.js"
import { CLOSE_TIMEOUT_MS, listen, type WireHandlers } from "./Wire.js"

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

const bySystem: Resolve = (host, done) => lookup(host, { all: true }, done)

export const make = (
  policy: EgressPolicy.EgressPolicy,
  { ca, resolve = bySystem }: ClientOptions = {}
): ClientWrapper["Type"] => {
  const trust = ca === undefined ? {} : { ca }
  const turns = new ReadTurn()
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
          inTime()
          resume(result)
        }
        const fail = (failure: DialFailure | TargetForbidden) => {
          settle(Effect.fail(failure))
          ws?.terminate()
        }
        const owner: Guarded = { faulted: (defect) => fail(dialFaulted(defect)) }
        const inTime = later(Math.min(target.timeoutMs, MAX_TIMER_MS), owner, () =>
          fail(dialFailure("timeout", `no answer within ${target.timeoutMs} ms`))
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
          listen(ws, handlers, { fail, opened: () => settle(Effect.void) }, turns)
        }

        const family = isIP(host)
        if (family !== 0) connect([{ address: host, family }])
        else {
          const answered = (error: Error | null, addresses: ReadonlyArray<LookupAddress>) => {
            if (error !== null) fail(dialFailure("dns", error.message))
            else if (addresses.length === 0) fail(dialFailure("dns", `${host} has no address`))
            else connect(addresses)
          }
          resolve(host, guard(owner, answered))
        }
        return Effect.sync(() => {
          settled = true
          inTime()
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
  closeTimeout: CLOSE_TIMEOUT_MS,
  // ws makes the path of its own from parts of the URL, and an empty query is not among them.
  ...(target.url.search === "" && target.url.href.endsWith("?") ? { finishRequest: emptyQuery } : {})
})

const emptyQuery = (request: ClientRequest): void => {
  request.path += "?"
  request.end()
}

/** Answers with what was judged, whatever the name resolves to by now. */
const pinned =
  (addresses: ReadonlyArray<LookupAddress>): LookupFunction =>
  (_host, options, callback) => {
    if (options.all) callback(null, [...addresses])
    else callback(null, addresses[0]!.address, addresses[0]!.family)
  }
