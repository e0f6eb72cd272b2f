/** What a cluster stands on: the clock and the scheduler of its maker, so that a test clock drives all of it. */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Runtime from "effect/Runtime"
import type * as Scheduler from "effect/Scheduler"

/** The clock and the scheduler that every instance of a cluster is driven by. */
export interface TestRuntime {
  /** of the whole cluster */
  readonly clock: Clock.Clock
  /** of the whole cluster */
  readonly scheduler: Scheduler.Scheduler
  /** Runs `f` after so many milliseconds, whatever becomes of the instances; the returned function takes it back. */
  readonly after: (ms: number, f: () => void) => () => void
  /** Runs outside every instance. */
  readonly run: (effect: Effect.Effect<unknown>) => void
}

/** Waits until it is interrupted, without the timer by which `Effect.never` keeps its process running. */
export const forever: Effect.Effect<never> = Effect.async<never>(() => {})

/** Never inside the call that asks for it. */
const LATER = { immediate: false } as const

/** Of the fiber that runs this. */
export const make: Effect.Effect<TestRuntime> = Effect.gen(function* () {
  const clock = yield* Effect.clock
  const runFork = Runtime.runFork(yield* Effect.runtime<never>())
  return {
    clock,
    scheduler: yield* FiberRef.get(FiberRef.currentScheduler),
    after: (ms, f) => {
      const fiber = runFork(Effect.zipRight(clock.sleep(Duration.millis(Math.max(0, ms))), Effect.sync(f)), LATER)
      return () => fiber.unsafeInterruptAsFork(fiber.id())
    },
    run: (effect) => void runFork(effect)
  }
})
