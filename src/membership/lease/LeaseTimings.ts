/** The periods of the lease, milliseconds, all of them derived from the two settings. */
import * as Duration from "effect/Duration"
import type { SettingsShape } from "../../config/SettingsShape.js"
import { marginOf } from "../../domain/stored/InstanceRecord.js"

export interface LeaseTimings {
  readonly interval: number
  readonly ttl: number
  readonly margin: number
  /** how long a beat that landed lets this instance act */
  readonly lease: number
  /** reads and writes of the heartbeat end within it */
  readonly deadline: number
  /** a beat overdue by this much is extended by other means, and again after each */
  readonly eighth: number
}

export const make = (settings: Pick<SettingsShape, "heartbeatInterval" | "heartbeatTtl">): LeaseTimings => {
  const interval = Duration.toMillis(settings.heartbeatInterval)
  const ttl = Duration.toMillis(settings.heartbeatTtl)
  const margin = marginOf(interval)
  return { interval, ttl, margin, lease: ttl - margin, deadline: interval / 2, eighth: interval / 8 }
}

/*
 * The fixed times of the protocol, each with what it must satisfy. `heartbeatInterval` is at least 500 ms. The margin is a
 * quarter of it and at least 250 ms; the deadline is half of it, so at least 250 ms too. An instance acts until
 * `ttl - margin` after it sent its last beat that landed; a peer that reads calls it dead no sooner than `ttl + margin`
 * after that. Between the two lie two margins.
 */

/** Sockets are closed this long before the expiry, milliseconds. CLOSE_AHEAD_MS < margin, and far less than the lease. */
export const CLOSE_AHEAD_MS = 75

/**
 * A clock that was set, or a machine that was suspended, is noticed within this time, milliseconds. LEASE_CHECK_INTERVAL_MS
 * <= margin, so that it is noticed before a peer can call this instance dead.
 */
export const LEASE_CHECK_INTERVAL_MS = 250

/**
 * From one attempt to beat to the next at least, milliseconds: after one that timed out the next goes out at once.
 * HEARTBEAT_RETRY_MS < deadline, so that a refused attempt is repeated within its interval.
 */
export const HEARTBEAT_RETRY_MS = 100

/**
 * From one read of the peers' records to the next at least, milliseconds. READ_SPACING_MS < deadline, and so less than an
 * interval.
 */
export const READ_SPACING_MS = 50

/** A read that is older than this is repeated when a peer asks, milliseconds. ANSWERED_READ_AGE_MS < the least interval. */
export const ANSWERED_READ_AGE_MS = 300

/**
 * Between two refused dials, and before a link that stood is made anew. A crash is told by two refusals, LINK_DIAL_DELAY
 * apart, which must be far sooner than silence tells it: LINK_DIAL_DELAY < ttl / 2.
 */
export const LINK_DIAL_DELAY = "100 millis"

/**
 * After a dial without an answer; the first may be the last word of what stood on the broken link. LINK_DIAL_DELAY <
 * LINK_SILENT_DELAY.
 */
export const LINK_SILENT_DELAY = "500 millis"

/** Before a link that never stood, or broke within an interval, is made anew. LINK_SILENT_DELAY < LINK_RETRY_DELAY. */
export const LINK_RETRY_DELAY = "1 second"

/**
 * Between two refused dials of a peer that is asked for its answer. PROBE_RETRY_DELAY < deadline, within which the answer
 * must come.
 */
export const PROBE_RETRY_DELAY = "100 millis"

/** Before a fence whose outcome is unknown is tried again. FENCE_RETRY_DELAY < deadline. */
export const FENCE_RETRY_DELAY = "200 millis"

/**
 * From here on any survivor claims, milliseconds: the one that should have may be gone too. Any value is safe, because a claim is a
 * compare-and-set; a small one makes survivors claim the same connections in vain.
 */
export const TAKEOVER_GRACE_MS = 2500

/**
 * How long what an instance that left with nothing leaves behind can be read: its record, and its empty pages. DEPARTED_TTL is far
 * longer than any heartbeatInterval, so that every peer that reads once an interval learns of the end before it vanishes.
 */
export const DEPARTED_TTL = Duration.hours(1)
