/**
 * Runs effects one after the other, first come first served. While no effect runs it holds next to nothing: there are several
 * for each of thousands of connections, nearly all of them at rest.
 */
import * as Effect from "effect/Effect"

export class Mutex {
  private semaphore: Effect.Semaphore | undefined
  /** that run or wait */
  private users = 0

  /** Interruption takes an effect that waits out of the line, and lets the next one go. */
  run<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        this.users += 1
        return (this.semaphore ??= Effect.unsafeMakeSemaphore(1))
      }),
      (semaphore) => semaphore.withPermits(1)(effect),
      () =>
        Effect.sync(() => {
          this.users -= 1
          if (this.users === 0) this.semaphore = undefined
        })
    )
  }
}
