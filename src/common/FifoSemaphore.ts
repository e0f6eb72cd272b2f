/**
 * So many at once, the others in the order in which they came. Each that ends wakes one; Effect's Semaphore wakes all that
 * wait, which costs the square of their number.
 */
import * as Effect from "effect/Effect"

export class FifoSemaphore {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** Runs when it is its turn. */
  take<A, E>(turn: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.zipRight(
        restore(this.#wait),
        Effect.ensuring(
          restore(turn),
          Effect.sync(() => this.#next())
        )
      )
    )
  }

  readonly #wait = Effect.async<void>((resume) => {
    if (this.#free > 0) {
      this.#free--
      resume(Effect.void)
      return Effect.sync(() => this.#next())
    }
    const go = () => resume(Effect.void)
    this.#waiting.add(go)
    return Effect.sync(() => {
      // interrupted when its turn had come: the next one's then
      if (!this.#waiting.delete(go)) this.#next()
    })
  })

  #next(): void {
    const first = this.#waiting.values().next()
    if (first.done === true) this.#free++
    else {
      this.#waiting.delete(first.value)
      first.value()
    }
  }
}
