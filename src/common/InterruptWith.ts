/**
 * An effect that something outside may end. It does what a race with that something does, without a fiber for it. Races and
 * time-outs stand around every dial and every call of a store, and cost more than what they guard.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/**
 * `arm` is told how to cut the effect short, and answers how to be disarmed. What is cut short is interrupted first, and its
 * outcome counts if it has one by then; else the error does.
 */
export const interruptWith =
  <E2>(arm: (cut: (error: E2) => void) => () => void) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.fork(restore(effect)), (fiber) =>
        Effect.onInterrupt(restore(outcome(fiber, arm)), () => Fiber.interrupt(fiber))
      )
    )

const outcome = <A, E, E2>(
  fiber: Fiber.RuntimeFiber<A, E>,
  arm: (cut: (error: E2) => void) => () => void
): Effect.Effect<A, E | E2> =>
  Effect.async((resume) => {
    let over = false
    let disarm: (() => void) | undefined
    const end = (): boolean => {
      if (over) return false
      over = true
      disarm?.()
      return true
    }
    disarm = arm((error) => {
      if (!end()) return
      const cut = Fiber.interrupt(fiber)
      resume(
        Effect.flatMap(cut, (exit): Effect.Effect<A, E | E2> => (Exit.isInterrupted(exit) ? Effect.fail(error) : exit))
      )
    })
    // cut while it was being armed: it is not disarmed yet
    if (over) disarm()
    fiber.addObserver((exit) => {
      if (end()) resume(exit)
    })
    return Effect.sync(() => void end())
  })
