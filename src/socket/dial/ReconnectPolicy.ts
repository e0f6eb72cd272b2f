/**
 * When to dial again, as a `Schedule`: exponential, capped, with jitter; slow after answers that ask for it.
 *
 * Input is what the lost session decided, output the number of the attempt to come, from 1. A caller that must announce the
 * delay before it begins adds its own `Schedule.modifyDelayEffect((attempt, delay) => …)`. The delay it is given is the one
 * that will be slept. The attempts go back to 1 by the driver's `reset`, or by a fresh `Effect.retry`, which is up to the
 * loop. Only it knows whether the socket was open for `stable_after_ms`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type { ResolvedReconnect } from "../../domain/Spec.js"

/** Why another dial comes: at which pace, and what the peer asked for. */
export interface Retry {
  readonly decision: "retry" | "retry-slowly"
  /** of a Retry-After, milliseconds; looked at when retrying slowly only */
  readonly retryAfterMs: number | undefined
}

/** The longest Retry-After that is honoured. */
export const RETRY_AFTER_MAX_MS = 15 * 60_000

/**
 * Milliseconds to wait before attempt number `attempt` (from 1). `random` is uniform in [0, 1): the delay is between a half
 * and the whole of base · factor^(attempt − 1), never above the maximum. Slow retries wait as long as the maximum less
 * jitter, or for a longer Retry-After, which is never cut short.
 */
export const delayMillis = (
  policy: Pick<ResolvedReconnect, "baseDelayMs" | "maxDelayMs" | "factor">,
  attempt: number,
  retry: Retry,
  random: number
): number => {
  const jitter = 0.5 + random / 2
  if (retry.decision === "retry") {
    return jitter * Math.min(policy.maxDelayMs, policy.baseDelayMs * policy.factor ** (attempt - 1))
  }
  return Math.max(jitter * policy.maxDelayMs, Math.min(retry.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS))
}

/** Ends when `max_attempts` are used up. */
export const schedule = (policy: ResolvedReconnect): Schedule.Schedule<number, Retry> =>
  Schedule.identity<Retry>().pipe(
    Schedule.intersect(Schedule.forever),
    Schedule.whileOutput(([, recurrence]) => recurrence < policy.maxAttempts),
    Schedule.modifyDelayEffect(([retry, recurrence]) =>
      Effect.map(Random.next, (random) => Duration.millis(delayMillis(policy, recurrence + 1, retry, random)))
    ),
    Schedule.map(([, recurrence]) => recurrence + 1)
  )
