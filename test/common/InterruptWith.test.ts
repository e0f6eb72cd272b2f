import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { interruptWith } from "../../src/common/InterruptWith.js"

/** What is armed, and what was disarmed. */
const arming = () => {
  const state: { cut: (error: string) => void; armed: boolean } = { cut: () => {}, armed: false }
  return {
    state,
    arm: (cut: (error: string) => void) => {
      state.cut = cut
      state.armed = true
      return () => {
        state.armed = false
      }
    }
  }
}

describe("an effect that may be cut short", () => {
  it.effect("gives its own outcome, and is disarmed then", () =>
    Effect.gen(function* () {
      const { arm, state } = arming()
      expect(yield* interruptWith(arm)(Effect.succeed(1))).toBe(1)
      expect(state.armed).toBe(false)
      expect(yield* Effect.flip(interruptWith(arm)(Effect.fail("own")))).toBe("own")
      expect(yield* Effect.exit(interruptWith(arm)(Effect.die("defect")))).toEqual(Exit.die("defect"))
      expect(state.armed).toBe(false)
    })
  )

  it.effect("is interrupted when it is cut, and the error comes after that", () =>
    Effect.gen(function* () {
      const { arm, state } = arming()
      const cleaned = yield* Deferred.make<void>()
      let interrupted = false
      const slow = Effect.onInterrupt(Effect.never, () =>
        Effect.zipRight(
          Deferred.await(cleaned),
          Effect.sync(() => (interrupted = true))
        )
      )
      const fiber = yield* Effect.fork(Effect.flip(interruptWith(arm)(slow)))
      yield* Effect.yieldNow()
      state.cut("cut")
      state.cut("twice")
      yield* Effect.yieldNow()
      expect(interrupted).toBe(false)
      expect(fiber.unsafePoll()).toBe(null)
      yield* Deferred.succeed(cleaned, undefined)
      expect(yield* Fiber.join(fiber)).toBe("cut")
      expect(interrupted).toBe(true)
      expect(state.armed).toBe(false)
    })
  )

  it.effect("keeps an outcome that it had when it was cut", () =>
    Effect.gen(function* () {
      const { arm, state } = arming()
      const go = yield* Deferred.make<number>()
      const fiber = yield* Effect.fork(interruptWith(arm)(Effect.uninterruptible(Deferred.await(go))))
      yield* Effect.yieldNow()
      state.cut("cut")
      yield* Deferred.succeed(go, 7)
      expect(yield* Fiber.join(fiber)).toBe(7)
    })
  )

  it.effect("is cut by what was due before it began", () =>
    Effect.gen(function* () {
      let disarmed = false
      const due = (cut: (error: string) => void) => {
        cut("due")
        return () => {
          disarmed = true
        }
      }
      expect(yield* Effect.flip(interruptWith(due)(Effect.never))).toBe("due")
      expect(disarmed).toBe(true)
    })
  )

  it.effect("is interrupted with its caller, and disarmed", () =>
    Effect.gen(function* () {
      const { arm, state } = arming()
      let interrupted = false
      const slow = Effect.onInterrupt(Effect.never, () => Effect.sync(() => (interrupted = true)))
      const fiber = yield* Effect.fork(interruptWith(arm)(slow))
      yield* Effect.yieldNow()
      expect(state.armed).toBe(true)
      yield* Fiber.interrupt(fiber)
      expect(interrupted).toBe(true)
      expect(state.armed).toBe(false)
    })
  )
})
