/** What the latest publishes came to: the only honest word about a broker to which nothing may be published as a trial. */
import * as Effect from "effect/Effect"

/**
 * Publishers repeat a failure far sooner than this. So an older failure, which was not repeated, says nothing about now.
 */
const FRESH_MS = 60_000

export interface PublishHealth {
  /** An event was taken. */
  readonly succeeded: () => void
  /** The broker did not take what it was given, for a reason that may pass. */
  readonly failed: (reason: string) => void
  /** Fails, with since when and why, while publishes fail. */
  readonly check: Effect.Effect<void, string>
}

export const makePublishHealth = (): PublishHealth => {
  let failing: { readonly since: number; at: number; reason: string } | undefined
  return {
    succeeded: () => {
      failing = undefined
    },
    failed: (reason) => {
      const at = Date.now()
      if (failing === undefined || at - failing.at > FRESH_MS) failing = { since: at, at, reason }
      failing.at = at
      failing.reason = reason
    },
    check: Effect.suspend(() =>
      failing === undefined || Date.now() - failing.at > FRESH_MS
        ? Effect.void
        : Effect.fail(`publishing fails since ${new Date(failing.since).toISOString()}: ${failing.reason}`)
    )
  }
}
