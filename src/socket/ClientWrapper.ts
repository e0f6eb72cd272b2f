/**
 * The `ws` package behind two functions: where a name leads, and a dial there that tells of everything that happens.
 *
 * A name is resolved once; every address it has is judged, and what was judged is what is dialled. Redirects are not
 * followed. The callbacks are synchronous and in order: `onOpen`, then frames, then `onEnd` once.
 */
import type { LookupAddress } from "node:dns"
import type { ClientRequest } from "node:http"
import { isIP } from "node:net"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ClientOptions as WsClientOptions } from "ws"
import { guard, type Guarded, later } from "../common/CallbackGuard.js"
import { Settings } from "../config/Settings.js"
import { TargetForbidden } from "../domain/Errors.js"
import { type Addresses, Resolver } from "../names/Resolver.js"
import * as EgressPolicy from "./dial/EgressPolicy.js"
import { race } from "./dial/Race.js"
import { dialFaulted, fromError, toDialCause } from "./wire/DialFailures.js"
import { FeedSocket } from "./wire/FeedSocket.js"
import { ReadFairness } from "./wire/ReadFairness.js"
import type { DialCause } from "./wire/Session.js"
import { MAX_TIMER_MS } from "./wire/Timers.js"
import { TurnCost } from "./wire/TurnCost.js"
import { Unfinished, type UnfinishedBytes } from "./wire/Unfinished.js"
import type { WireHandlers } from "./wire/Wire.js"
import { CLOSE_TIMEOUT_MS, listen, type Shared } from "./wire/WsWire.js"

/** What is dialled, with every placeholder filled in. */
export interface DialTarget {
  /** ws or wss */
  readonly url: URL
  /** of the opening request */
  readonly headers: Readonly<Record<string, string>>
  /** those offered, in order */
  readonly subprotocols: ReadonlyArray<string>
  /** a larger message closes the socket with 1009 */
  readonly maxMessageBytes: number
  /** offer permessage-deflate */
  readonly compression: boolean
  /** to the 101 answer, resolving the name included */
  readonly timeoutMs: number
}

/** Where a target is: judged, in the order in which to try. */
export interface Route {
  /** of the target's name */
  readonly addresses: Addresses
  /** what finding it took of the target's time-out */
  readonly spentMs: number
}

/** How sockets are dialled. */
export class ClientWrapper extends Context.Tag("websocketmanager/socket/ClientWrapper")<
  ClientWrapper,
  {
    /** Interruption takes the question back. */
    readonly resolve: (target: DialTarget) => Effect.Effect<Route, DialCause | TargetForbidden>
    /**
     * Done at the 101 answer, right after `onOpen`. Interruption cuts a socket that is not open yet; an open one belongs
     * to the receiver of `onOpen`. `mayTry` is asked before each address but the first.
     */
    readonly dial: (
      target: DialTarget,
      route: Route,
      handlers: WireHandlers,
      mayTry?: (address: string) => boolean
    ) => Effect.Effect<void, DialCause>
    /** messages that are not yet whole, all sockets together */
    readonly unfinished: UnfinishedBytes
    /** Whether this host (`name:port`) is refused before anything is resolved. */
    readonly refuseHost: (hostPort: string) => TargetForbidden | undefined
  }
>() {}

/** What tests and embedding programs may replace of a dial. */
export interface ClientOptions {
  /** certificates to trust in place of node's own */
  readonly ca?: string
  /** all addresses of a name; default the resolver of `names`, with the name servers of the settings */
  readonly resolve?: Resolve
}

/** What is returned, if anything, takes the question back. */
export type Resolve = (
  host: string,
  done: (error: Error | null, addresses: ReadonlyArray<LookupAddress>) => void
) => void | (() => void)

/** The egress policy and the name servers are those of the settings. */
export const layer = (options: ClientOptions = {}): Layer.Layer<ClientWrapper, never, Settings> =>
  Layer.effect(
    ClientWrapper,
    Effect.map(Settings, (settings) =>
      make(
        EgressPolicy.make(settings),
        new Resolver({ servers: settings.dnsServers }),
        options,
        settings.bufferMaxBytes
      )
    )
  )

/** The wrapper by a policy and a resolver of one's own. */
export const make = (
  policy: EgressPolicy.EgressPolicy,
  resolver: Resolver,
  { ca, resolve }: ClientOptions = {},
  /** for messages that are not yet whole, and what else has its part in it */
  bufferMaxBytes = Infinity
): ClientWrapper["Type"] => {
  const shared: Shared = {
    turns: new ReadFairness(),
    costs: new TurnCost(),
    unfinished: new Unfinished(bufferMaxBytes)
  }
  const forbidden = (host: string, reason: string | undefined) =>
    reason === undefined ? undefined : new TargetForbidden({ host, reason })
  const addressesOf = (host: string, done: (reason: string | undefined, addresses: Addresses) => void) =>
    resolve === undefined ? resolver.resolve(host, done) : resolve(host, (error, all) => done(error?.message, all))

  return {
    unfinished: shared.unfinished,
    refuseHost: (hostPort) => {
      const [host, port] = EgressPolicy.splitHostPort(hostPort)
      return forbidden(host, policy.refuseHost(host, port))
    },

    resolve: ({ timeoutMs, url }) =>
      Effect.async<Route, DialCause | TargetForbidden>((resume) => {
        const host = EgressPolicy.normaliseHost(url.hostname)
        const began = performance.now()
        let settled = false
        const settle = (result: Effect.Effect<Route, DialCause | TargetForbidden>) => {
          if (settled) return
          settled = true
          inTime()
          resume(result)
        }
        const owner: Guarded = { faulted: (defect) => settle(Effect.fail(dialFaulted(defect))) }
        const inTime = later(Math.min(timeoutMs, MAX_TIMER_MS), owner, () => {
          settle(Effect.fail(toDialCause("dns", `${host} was not resolved within ${timeoutMs} ms`)))
          takeBack?.()
        })
        const found = guard(owner, (reason: string | undefined, addresses: Addresses) => {
          if (reason !== undefined) return settle(Effect.fail(toDialCause("dns", reason)))
          if (addresses.length === 0) return settle(Effect.fail(toDialCause("dns", `${host} has no address`)))
          for (const { address } of addresses) {
            const refused = forbidden(host, policy.refuseAddress(host, address, portOf(url)))
            if (refused !== undefined) return settle(Effect.fail(refused))
          }
          settle(Effect.succeed({ addresses, spentMs: performance.now() - began }))
        })
        const family = isIP(host)
        const takeBack = family === 0 ? addressesOf(askedOf(url), found) : found(undefined, [{ address: host, family }])
        return Effect.sync(() => {
          settled = true
          inTime()
          takeBack?.()
        })
      }),

    dial: (target, { addresses, spentMs }, handlers, mayTry = () => true) =>
      Effect.async<void, DialCause>((resume) => {
        let ws: FeedSocket | undefined
        let settled = false
        const settle = (result: Effect.Effect<void, DialCause>) => {
          if (settled) return
          settled = true
          inTime()
          callOff()
          resume(result)
        }
        const fail = (failure: DialCause) => {
          settle(Effect.fail(failure))
          ws?.terminate()
        }
        const owner: Guarded = { faulted: (defect) => fail(dialFaulted(defect)) }
        const inTime = later(Math.min(Math.max(0, target.timeoutMs - spentMs), MAX_TIMER_MS), owner, () => {
          if (ws === undefined) resolver.unreachable(askedOf(target.url))
          fail(toDialCause("timeout", `no answer within ${target.timeoutMs} ms`))
        })
        const course = { addresses, port: portOf(target.url), tls: trustOf(target.url, ca), mayTry }
        const callOff = race(course, owner, (error, socket) => {
          if (socket === undefined) {
            resolver.unreachable(askedOf(target.url))
            return fail(fromError(error!))
          }
          try {
            ws = new FeedSocket(target.url, [...target.subprotocols], target.maxMessageBytes, {
              ...wsOptions(target),
              createConnection: () => socket
            })
          } catch {
            socket.destroy()
            // The message of the error may quote the URL.
            return fail(toDialCause("http", "the opening request cannot be made"))
          }
          listen(ws, handlers, { fail, opened: () => settle(Effect.void) }, shared)
        })
        return Effect.sync(() => {
          settled = true
          inTime()
          callOff()
          ws?.terminate()
        })
      })
  }
}

const portOf = ({ port, protocol }: URL): number => (port === "" ? (protocol === "wss:" ? 443 : 80) : Number(port))

/** A dot at the end says that the name is written in full. */
const askedOf = ({ hostname }: URL): string =>
  EgressPolicy.normaliseHost(hostname) + (hostname.endsWith(".") ? "." : "")

/** How a peer of this URL is verified: by its name, or by its address where it is one. */
const trustOf = (url: URL, ca: string | undefined) => {
  if (url.protocol !== "wss:") return undefined
  const host = EgressPolicy.normaliseHost(url.hostname)
  return { servername: isIP(host) === 0 ? host : "", ...(ca === undefined ? {} : { ca }) }
}

/** Its types lag behind its options. */
type WsOptions = WsClientOptions & { readonly closeTimeout: number }

const wsOptions = (target: DialTarget): WsOptions => ({
  headers: target.headers,
  followRedirects: false,
  perMessageDeflate: target.compression,
  closeTimeout: CLOSE_TIMEOUT_MS,
  // ws makes the path of its own from parts of the URL, and an empty query is not among them.
  ...(target.url.search === "" && target.url.href.endsWith("?") ? { finishRequest: emptyQuery } : {})
})

const emptyQuery = (request: ClientRequest): void => {
  request.path += "?"
  request.end()
}
