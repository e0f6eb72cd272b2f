/** Calls back at a time. Something runs only while a time is set. */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

/** How the synchronous parts of this room start an effect. */
export type RunFork = <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>

export class Timer {
  private at = Infinity
  private fiber: Fiber.RuntimeFiber<void> | undefined

  constructor(
    private readonly clock: Clock.Clock,
    private readonly now: () => number,
    private readonly runFork: RunFork,
    private readonly ring: () => void
  ) {}

  /** Rings at this time, or earlier if it was set so. */
  set(at: number): void {
    if (at >= this.at) return
    this.cancel()
    this.at = at
    const wait = Math.max(0, Math.ceil(at - this.now()))
    const fiber = this.runFork(this.clock.sleep(Duration.millis(wait)))

    this.fiber = fiber
    fiber.addObserver((exit) => {
      if (this.fiber !== fiber || !Exit.isSuccess(exit)) return
      this.fiber = undefined
      this.at = Infinity
      this.ring()
    })
  }

  cancel(): void {
    this.at = Infinity
    const fiber = this.fiber
    this.fiber = undefined
    fiber?.unsafeInterruptAsFork(FiberId.none)
  }
}
