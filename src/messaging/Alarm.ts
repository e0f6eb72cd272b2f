/** Calls back at a time, by Effect's clock. Nothing runs while it is not set. */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

/** How the synchronous parts of this room start an effect. */
export type RunFork = <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>

export class Alarm {
  private at = Infinity
  private fiber: Fiber.RuntimeFiber<void> | undefined

  constructor(
    private readonly clock: Clock.Clock,
    private readonly runFork: RunFork,
    private readonly ring: () => void
  ) {}

  /** Rings at this time (milliseconds since 1970), or earlier if it was set so. */
  set(at: number): void {
    if (at >= this.at) return
    this.cancel()
    this.at = at
    const fiber = this.runFork(
      this.clock.sleep(Duration.millis(Math.max(0, at - this.clock.unsafeCurrentTimeMillis())))
    )
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
