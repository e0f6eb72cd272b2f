/**
 * A spec as it comes from the store, where a version with wider limits may have put it. What was accepted once goes on as near
 * to what was asked as the limits let it: a time beyond its limit becomes the limit. What cannot be made to fit is refused, and
 * the instance that reads it shows the refusal; nothing is left out silently.
 */
import * as Either from "effect/Either"
import type { InvalidRequest } from "../Errors.js"
import { CALLER } from "../Limits.js"
import { redactUrl } from "../secrets/Redact.js"
import type { ResolvedSpec, Spec } from "../Spec.js"
import { resolveSpec } from "../validation/Validate.js"

export interface StoredSpec {
  /** where it is refused: every default, under the URL as it may be shown, and nothing may be dialled */
  readonly spec: ResolvedSpec
  readonly refused: InvalidRequest | undefined
}

export const resolveStored = (stored: Spec): StoredSpec => {
  const resolved = resolveSpec(withinTimes(stored))
  if (Either.isRight(resolved)) return { spec: resolved.right, refused: undefined }
  const url = stored.url.slice(0, SHOWN_CHARS)
  return { spec: { ...DEFAULTS, autoReconnect: false, url, shownUrl: redactUrl(url) }, refused: resolved.left }
}

const SHOWN_CHARS = 8192
const DEFAULTS: ResolvedSpec = Either.getOrThrow(resolveSpec({ url: "ws://localhost" }))

/** The times of a spec, none beyond its limit; absent and 0 stay what they are. */
const withinTimes = (spec: Spec): Spec => ({
  ...spec,
  ...(spec.keepAlive && {
    keepAlive: {
      ...spec.keepAlive,
      pingIntervalMs: within(spec.keepAlive.pingIntervalMs, CALLER.TIMEOUT_MS, CALLER.PING_INTERVAL_MS),
      deadAfterMs: within(spec.keepAlive.deadAfterMs, CALLER.DEAD_AFTER_MS),
      idleAfterMs: within(spec.keepAlive.idleAfterMs, CALLER.DELAY_MS)
    }
  }),
  ...(spec.reconnect && {
    reconnect: {
      ...spec.reconnect,
      baseDelayMs: within(spec.reconnect.baseDelayMs, CALLER.DELAY_MS),
      maxDelayMs: within(spec.reconnect.maxDelayMs, CALLER.DELAY_MS),
      stableAfterMs: within(spec.reconnect.stableAfterMs, CALLER.DELAY_MS),
      dialTimeoutMs: within(spec.reconnect.dialTimeoutMs, CALLER.TIMEOUT_MS)
    }
  }),
  ...(spec.publishing && {
    publishing: { ...spec.publishing, lingerMs: within(spec.publishing.lingerMs, CALLER.TIMEOUT_MS) }
  }),
  ...(spec.handshake && {
    handshake: spec.handshake.map((step) =>
      step.expect === undefined
        ? step
        : { ...step, expect: { ...step.expect, timeoutMs: within(step.expect.timeoutMs, CALLER.TIMEOUT_MS) } }
    )
  })
})

const within = (ms: number | undefined, max: number, min = 0): number | undefined =>
  ms === undefined || ms === 0 ? ms : Math.max(Math.min(ms, max), ms > 0 ? min : ms)
