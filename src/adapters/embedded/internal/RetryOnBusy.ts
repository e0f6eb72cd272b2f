/**
 * Waiting for a lock that another process holds, without holding up the event loop.
 *
 * An attempt that meets a lock blocks the loop for the busy timeout. So the calls of one handle share their attempts. After
 * an attempt that found the file busy no call tries for a few milliseconds, however many wait.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { StateStoreUnavailable } from "../../../domain/Errors.js"

/** How long one attempt may block the event loop. */
export const BUSY_TIMEOUT_MS = 50
/** How long a call waits for the lock in all. */
export const PATIENCE_MS = 1000

/** Other processes live in real time, whatever clock drives this one. */
const realClock = Clock.make()
const pause = Effect.suspend(() => Effect.sleep(5 + Math.random() * 20)).pipe(Effect.withClock(realClock))

export type Patient = <A>(body: () => A) => Effect.Effect<A, StateStoreUnavailable>

/** Runs synchronous statements. A statement that met a lock has changed nothing, and is repeated until its time is over. */
export const makePatient = (database: { readonly open: boolean }): Patient => {
  let quietUntil = 0
  return <A>(body: () => A) =>
    Effect.suspend(() => {
      const deadline = performance.now() + PATIENCE_MS
      // Asked here, because prepared statements outlive their database.
      if (!database.open) return Effect.fail(new StateStoreUnavailable({ reason: "it is closed" }))
      const attempt: Effect.Effect<A, StateStoreUnavailable> = Effect.suspend(() => {
        if (performance.now() >= quietUntil) {
          try {
            return Effect.succeed(body())
          } catch (error) {
            if (!isBusy(error)) return Effect.fail(asUnavailable(error))
            quietUntil = performance.now() + 10
          }
        }
        if (performance.now() >= deadline) {
          return Effect.fail(new StateStoreUnavailable({ reason: "another process holds the lock" }))
        }
        return Effect.zipRight(pause, attempt)
      })
      return attempt
    })
}

export const isBusy = (error: unknown): boolean =>
  error instanceof Error && "code" in error && String(error.code).startsWith("SQLITE_BUSY")

export const asUnavailable = (error: unknown): StateStoreUnavailable => {
  if (error instanceof StateStoreUnavailable) return error
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  return new StateStoreUnavailable({ reason: code || (error instanceof Error ? error.message : String(error)) })
}
