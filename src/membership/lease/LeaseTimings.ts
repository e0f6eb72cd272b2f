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
