/** Names for what can go wrong with a dial, in the words of the contract. Reasons never carry a URL or a header's value. */
import { describe } from "../../common/CallbackGuard.js"
import type { DialFailureKind } from "../../domain/Errors.js"
import type { DialCause } from "./Session.js"
import { oneLine } from "./SocketErrors.js"

export const toDialCause = (
  kind: DialFailureKind,
  reason: string,
  more: Partial<Pick<DialCause, "httpStatus" | "retryAfterMs" | "closeCode" | "defect">> = {}
): DialCause => ({
  _tag: "DialFailure",
  kind,
  reason,
  httpStatus: more.httpStatus,
  retryAfterMs: more.retryAfterMs,
  closeCode: more.closeCode,
  defect: more.defect
})

/** A dial that ended because handling it threw. */
export const dialFaulted = (thrown: unknown): DialCause => {
  const defect = describe(thrown)
  return toDialCause("http", `${defect.name} while the opening was handled`, { defect })
}

/** What ws or the system says about an opening that failed. */
export const fromError = (error: Error): DialCause => {
  const { code, message, said, syscall } = worst(error)
  return toDialCause(kindOf(code, syscall, message), message === "" ? code : said)
}

/** Happy eyeballs tries several addresses and reports all errors together: the first one speaks for them. */
const worst = (error: Error): { code: string; syscall: string; message: string; said: string } => {
  const single = error instanceof AggregateError && error.errors[0] instanceof Error ? error.errors[0] : error
  const { code, syscall } = single as NodeJS.ErrnoException
  return { code: code ?? "", syscall: syscall ?? "", message: single.message, said: oneLine(single) }
}

const REFUSED = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EHOSTDOWN",
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
  "EACCES",
  "EPERM"
])

const kindOf = (code: string, syscall: string, message: string): DialFailureKind => {
  if (syscall === "getaddrinfo") return "dns"
  if (REFUSED.has(code) || (code === "EMFILE" && syscall === "connect")) return "refused"
  if (code === "ETIMEDOUT") return "timeout"
  // A certificate that does not hold, or a peer that does not speak TLS; OpenSSL has some hundred names for them.
  if (
    /^(ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_CA)/.test(
      code
    )
  )
    return "tls"
  if (/\b(certificate|SSL routines|TLS connection)\b/.test(message)) return "tls"
  return "http"
}

/** Milliseconds that a Retry-After asks for: seconds, or an HTTP date; undefined where it is neither. */
export const parseRetryAfter = (value: string | undefined, now: number): number | undefined => {
  if (value === undefined) return undefined
  const text = value.trim()
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const at = /[A-Za-z]{3}/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}
