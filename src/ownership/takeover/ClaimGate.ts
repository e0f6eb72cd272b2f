/**
 * Lets claims begin as long as the instance takes work, and tells when those that had begun are settled and handed on. A
 * record that names this instance while the instance does not hold the connection would be a feed that is not dialled.
 */
import * as Effect from "effect/Effect"

export class ClaimGate {
  #closed = false
  #inside = 0
  readonly #empty = Effect.unsafeMakeLatch(true)

  get closed(): boolean {
    return this.#closed
  }

  /** Runs the claims, or, once closed, answers with `refused`. */
  pass<A, E>(claims: Effect.Effect<A, E>, refused: A): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      if (this.#closed) return Effect.succeed(refused)
      this.#inside++
      this.#empty.unsafeClose()
      return Effect.ensuring(
        claims,
        Effect.sync(() => {
          if (--this.#inside === 0) this.#empty.unsafeOpen()
        })
      )
    })
  }

  /** No claim begins any more; done when none is under way. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#closed = true
    return this.#empty.await
  })
}
