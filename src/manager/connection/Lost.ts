/** What the end of a session means for its connection: what is told, what is remembered, and whether another dial comes. */
import { decideEnd, type Decision } from "../../domain/CloseReason.js"
import type { TargetForbidden } from "../../domain/Errors.js"
import { FEED } from "../../domain/Limits.js"
import { QUARANTINED } from "../../domain/stored/Trial.js"
import { toDialCause } from "../../socket/wire/DialFailures.js"
import type { DialCause, SessionEnd } from "../../socket/wire/Session.js"
import type { Events } from "../Events.js"
import type { ManagedConnection } from "./ManagedConnection.js"

/** Why the loop needs another dial, or none. */
export interface Lost {
  readonly decision: Decision | "stop"
  readonly retryAfterMs: number | undefined
  readonly closeCode: number
  readonly reason: string
  readonly metric: "closed" | "dial" | "dead" | "idle"
  /** open for stable_after_ms: the attempts start again */
  readonly stable: boolean
}

/** Told and counted; whether it is once too often. */
export const tooExpensive = (c: ManagedConnection, events: Events["Type"], ms: number): boolean => {
  c.tookTooLong(performance.now(), FEED.TOO_EXPENSIVE_WITHIN_MS)
  const message = `its frames took ${Math.round(ms)} ms of one turn of the event loop, over ${FEED.TURN_MS}`
  c.failedWith(`TooExpensive: ${message}`)
  events.emit("error", c, { error: "TooExpensive", message })
  return isQuarantined(c)
}

/** However its session or its login ended by then: a peer may be quicker than we are. */
export const isQuarantined = (c: ManagedConnection): boolean => c.expensiveTurns >= FEED.TURNS_TOO_EXPENSIVE

export const sessionEnded = (c: ManagedConnection, events: Events["Type"], end: SessionEnd, stable: boolean): Lost => {
  // We cut it ourselves: what the table says of a peer that went without a word does not count.
  const weCutIt = c.cutForLease && (end.closeCode === 1006 || end.closeCode === c.spec.reconnect.leaveCode)
  const reason = weCutIt ? LEASE_LOST.reason : end.reason
  const decision = weCutIt ? "retry" : decideEnd(end, c.spec.reconnect)
  if (isQuarantined(c)) return quarantined(c, end.closeCode)
  // A peer that closes as it should is no error, unless its code says that it will never have us.
  if (end.cause !== "closed" || end.closeCode === 1006 || decision === "give-up") {
    const error = weCutIt ? "LeaseLost" : decision === "give-up" ? "PeerRefused" : LOST_BY[end.cause]
    const message = decision === "give-up" ? `closed with ${end.closeCode} ${reason}`.trimEnd() : reason
    c.failedWith(`${error}: ${message}`)
    events.emit("error", c, { error, message }, whereThrown(end))
  }
  return {
    decision: c.spec.autoReconnect ? decision : "stop",
    retryAfterMs: undefined,
    closeCode: end.closeCode,
    reason,
    metric: end.cause === "dead" || end.cause === "idle" ? end.cause : "closed",
    stable
  }
}

/** Where a fault of our own was thrown: for the log, so that it can be mended. */
export const whereThrown = (ended: SessionEnd | DialCause | TargetForbidden): Readonly<Record<string, string>> =>
  "defect" in ended && ended.defect !== undefined ? { thrown: ended.defect.trace } : {}

export const LEASE_LOST = toDialCause("refused", "this instance lost its lease")

/**
 * No further dial until a caller asks for Reconnect: what it does to this instance it would do to the next one. What it did was
 * told each time.
 */
export const quarantined = (c: ManagedConnection, closeCode: number): Lost => {
  c.failedWith(`${QUARANTINED}: ${c.lastError}`)
  const lost = { decision: "give-up", retryAfterMs: undefined, metric: "closed", stable: false } as const
  return { ...lost, closeCode, reason: QUARANTINED }
}

const LOST_BY = {
  closed: "ConnectionLost",
  dead: "DeadPeer",
  idle: "IdleFeed",
  protocol: "ProtocolError",
  fault: "Fault",
  expensive: "TooExpensive",
  full: "BufferFull"
} as const
