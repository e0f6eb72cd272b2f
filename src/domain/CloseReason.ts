/**
 * What to do after a socket closed or a dial failed: the one table (src/README.md, Where is …?).
 *
 * Close codes and HTTP statuses are compared here alone. A connection's own `give_up_codes` and `retry_codes` stand over the
 * table; where both name a code, giving up wins, since hammering a peer that said no is the greater harm.
 */
import type { DialFailureKind } from "./Errors.js"

/** retry: at the usual pace; retry-slowly: from the maximum delay on, Retry-After honoured; give-up: `failed`. */
export type Decision = "retry" | "retry-slowly" | "give-up"

/** The part of a reconnect policy that stands over the table. */
export interface CodeOverrides {
  readonly giveUpCodes: ReadonlySet<number>
  readonly retryCodes: ReadonlySet<number>
  readonly leaveCode?: number | undefined
}

/** Codes that are not here are retried at the usual pace: 1000, 1006 and 4000 too, since the connection should be up. */
const CLOSE_CODES: ReadonlyMap<number, Decision> = new Map<number, Decision>([
  // Not authorised, in the ways peers say it: the same credentials will not do better.
  [3000, "give-up"], // IANA: Unauthorized
  [3003, "give-up"], // IANA: Forbidden
  [4004, "give-up"], // Discord: authentication failed
  [4400, "give-up"], // as HTTP 400: the peer cannot read what it was sent
  [4401, "give-up"], // as HTTP 401
  [4403, "give-up"], // as HTTP 403
  [4406, "give-up"], // graphql-ws: no acceptable subprotocol
  // Discord: invalid shard, sharding required, invalid version, invalid intents, disallowed intents.
  [4010, "give-up"],
  [4011, "give-up"],
  [4012, "give-up"],
  [4013, "give-up"],
  [4014, "give-up"],
  // The peer asks for less: come back, but not soon.
  [1008, "retry-slowly"], // policy violation, often a limit
  [1013, "retry-slowly"], // try again later
  [4008, "retry-slowly"], // Discord: rate limited
  [4029, "retry-slowly"], // rate limited, as several feeds write it
  [4408, "retry-slowly"], // graphql-ws: connection initialisation timeout
  [4409, "retry-slowly"], // as HTTP 409: another session of this client is still up
  [4429, "retry-slowly"] // as HTTP 429
])

/** Answers to the opening request after which coming back soon is of no use; all others are retried at the usual pace. */
const HTTP_STATUSES: ReadonlyMap<number, Decision> = new Map<number, Decision>([
  [400, "retry-slowly"], // the request is wrong for it; a deployment may mend that
  [401, "retry-slowly"], // a rotated secret may mend it
  [403, "retry-slowly"],
  [404, "retry-slowly"], // not deployed yet
  [410, "retry-slowly"],
  [429, "retry-slowly"], // Retry-After says when
  [503, "retry-slowly"] // likewise
])

/** After an open socket closed with this code (the one on the wire, 1006 when there was none). */
export const decideClose = (code: number, overrides: CodeOverrides): Decision => {
  if (overrides.giveUpCodes.has(code)) return "give-up"
  if (overrides.retryCodes.has(code)) return "retry"
  return CLOSE_CODES.get(code) ?? "retry"
}

/**
 * After an open socket ended. A fault of this instance would soon be met again, so only the connection's own codes may
 * hurry the next dial. The code with which this instance left an idle feed, to come back, says nothing of the peer.
 */
export const decideEnd = (
  { cause, closeCode }: { readonly cause: string; readonly closeCode: number },
  overrides: CodeOverrides
): Decision => {
  if (cause === "idle" && closeCode === overrides.leaveCode) return "retry"
  const decision = decideClose(closeCode, overrides)
  return cause === "fault" && decision === "retry" && !overrides.retryCodes.has(closeCode) ? "retry-slowly" : decision
}

/** What is looked at of a failed dial; a `TargetForbidden` has none of these fields but the tag. */
export type FailedDial =
  | { readonly _tag: "TargetForbidden" }
  | {
      readonly _tag: "DialFailure"
      readonly kind: DialFailureKind
      readonly httpStatus: number | undefined
      readonly closeCode: number | undefined
      readonly defect?: unknown
    }

/** After a dial that came to nothing. */
export const decideDial = (failure: FailedDial, overrides: CodeOverrides): Decision => {
  // The name may resolve to another address later, or the operator may allow it: come back, never silently give up.
  if (failure._tag === "TargetForbidden") return "retry-slowly"
  // Handling it threw, and will again.
  if (failure.defect !== undefined) return "retry-slowly"
  // The peer opened and then closed during the handshake steps: its code says why.
  if (failure.closeCode !== undefined) return decideClose(failure.closeCode, overrides)
  // The operator has to put the secret in place first.
  if (failure.kind === "secret") return "retry-slowly"
  return failure.httpStatus === undefined ? "retry" : (HTTP_STATUSES.get(failure.httpStatus) ?? "retry")
}
