/**
 * Which requests may come over HTTP at all, judged before any route and before any upgrade. Judged are the token, the
 * declared size of the body, and foreign origins and hosts. Those two are judged because a browser on this machine may have
 * a foreign web page open.
 */
import * as Redacted from "effect/Redacted"
import type { IncomingHttpHeaders } from "node:http"
import { bearerToken, tokenMatcher } from "../../domain/secrets/TokenMatcher.js"
import { isLoopback } from "../../common/Hosts.js"
import { PermissionDenied, Unauthenticated } from "../../domain/Errors.js"
import { parseUrl } from "../../domain/Peer.js"
import { MAX_BODY_BYTES } from "../../rpc/Serialization.js"
import * as Problem from "./Problem.js"

/** Open without the token: the probes, and `/`, where nothing is served. */
const OPEN_PATHS: ReadonlySet<string> = new Set(["/alive", "/health/live", "/health/ready", "/"])

export interface GuardOptions {
  readonly token: Redacted.Redacted<string> | undefined
  /** the advertised address, a URL */
  readonly advertised: string
}

export interface GuardedRequest {
  /** the request target: path and query */
  readonly url?: string | undefined
  readonly headers: IncomingHttpHeaders
}

/** A problem, and the word for it in metrics and log. */
export interface Refusal extends Problem.Problem {
  readonly reason: "origin" | "host" | "token" | "size"
}

/** The path of a request target as it was sent: the router, too, resolves no dots, so that both speak of the same path. */
export const pathOf = (url: string | undefined): string => (url ?? "/").split("?", 1)[0]!

/** Host name of a `Host` header, in lower case and without port; undefined: it is none. */
const hostNameOf = (host: string): string | undefined =>
  /^[^\s/@\\?#]+$/.test(host) ? parseUrl(`http://${host}`)?.hostname : undefined

/** The guard of one instance: undefined lets the request pass. */
export const make = (options: GuardOptions): ((request: GuardedRequest) => Refusal | undefined) => {
  const advertised = parseUrl(options.advertised)
  const matches = tokenMatcher(options.token)

  const hostAllowed = (host: string | undefined): boolean => {
    const name = host === undefined ? undefined : hostNameOf(host)
    return name !== undefined && (isLoopback(name) || name === advertised?.hostname)
  }
  /** A page that this very server gave out: its origin is the host it was asked under, or the advertised one. */
  const originAllowed = (origin: string, host: string | undefined): boolean => {
    const from = parseUrl(origin)
    if (from === undefined) return false
    if (from.origin === advertised?.origin) return true
    return host !== undefined && from.host !== "" && from.host === parseUrl(`${from.protocol}//${host}`)?.host
  }

  return ({ headers, url }) => {
    if (headers.origin !== undefined && !originAllowed(headers.origin, headers.host)) {
      const error = new PermissionDenied({ reason: "the Origin header names a foreign page" })
      return { ...Problem.fromError(error), reason: "origin" }
    }
    if (options.token === undefined) {
      if (!hostAllowed(headers.host)) {
        const reason = "the Host header is neither loopback nor the advertised address"
        return { ...Problem.fromError(new PermissionDenied({ reason })), reason: "host" }
      }
    } else if (!OPEN_PATHS.has(pathOf(url)) && !matches(bearerToken(headers.authorization))) {
      return { ...Problem.fromError(new Unauthenticated()), reason: "token" }
    }
    if (Number(headers["content-length"] ?? 0) > MAX_BODY_BYTES) {
      const problem = Problem.fromStatus(413, "Content Too Large", `a body has at most ${MAX_BODY_BYTES} bytes`)
      return { ...problem, reason: "size" }
    }
    return undefined
  }
}
