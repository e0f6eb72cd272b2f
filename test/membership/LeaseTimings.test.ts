import * as Duration from "effect/Duration"
import { describe, expect, it } from "vitest"
import * as LeaseTimings from "../../src/membership/lease/LeaseTimings.js"

const millis = Duration.toMillis

/** The settings at their bounds: the shortest interval with the shortest time to live, the standard ones, the longest. */
const SETTINGS = [
  ["500 millis", "1500 millis"],
  ["2 seconds", "6 seconds"],
  ["60 seconds", "180 seconds"]
] as const

describe("the times of the lease protocol", () => {
  for (const [interval, ttl] of SETTINGS) {
    it(`hold what they must with an interval of ${interval}`, () => {
      const timings = LeaseTimings.make({
        heartbeatInterval: Duration.decode(interval),
        heartbeatTtl: Duration.decode(ttl)
      })
      const { deadline, lease, margin } = timings
      const order = (...rising: ReadonlyArray<number>) => expect(rising.toSorted((a, b) => a - b)).toEqual(rising)
      order(LeaseTimings.CLOSE_AHEAD_MS, margin - 1, lease)
      order(LeaseTimings.LEASE_CHECK_INTERVAL_MS, margin, 2 * margin - 1)
      order(LeaseTimings.HEARTBEAT_RETRY_MS, deadline - 1, timings.interval)
      order(LeaseTimings.READ_SPACING_MS, deadline - 1)
      order(LeaseTimings.ANSWERED_READ_AGE_MS, timings.interval - 1)
      order(millis(LeaseTimings.PROBE_RETRY_DELAY), deadline - 1)
      order(millis(LeaseTimings.FENCE_RETRY_DELAY), deadline - 1)
      order(
        millis(LeaseTimings.LINK_DIAL_DELAY),
        millis(LeaseTimings.LINK_SILENT_DELAY) - 1,
        millis(LeaseTimings.LINK_RETRY_DELAY) - 1
      )
      order(millis(LeaseTimings.LINK_DIAL_DELAY), timings.ttl / 2 - 1)
      order(timings.interval, millis(LeaseTimings.DEPARTED_TTL) / 10)
    })
  }
})
