import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as NextTurns from "../../src/messaging/correlation/NextTurns.js"

describe("turns", () => {
  it.effect("who is interrupted between its turn coming and its beginning leaves the turn to the next", () =>
    Effect.gen(function* () {
      const turns = NextTurns.make()
      const latch = yield* Effect.makeLatch(false)
      const ran: Array<string> = []
      const take = (name: string) => Effect.fork(turns.take(Effect.sync(() => ran.push(name))))
      const settle = Effect.repeatN(Effect.yieldNow(), 5)
      let second: Fiber.RuntimeFiber<number, unknown> | undefined
      const interruptSecond = Effect.sync(() => second!.unsafeInterruptAsFork(FiberId.none))
      yield* Effect.fork(Effect.zipRight(turns.take(latch.await), interruptSecond))
      yield* settle
      second = yield* take("second")
      yield* settle
      const third = yield* take("third")
      yield* settle
      yield* latch.open
      yield* Fiber.join(third)
      expect(ran).toEqual(["third"])
    })
  )

  it.effect("who is sent away does not take the turn of the one that runs", () =>
    Effect.gen(function* () {
      const turns = NextTurns.make()
      const latch = yield* Effect.makeLatch(false)
      const first = yield* Effect.fork(turns.take(latch.await))
      yield* Effect.yieldNow()
      const second = yield* Effect.fork(turns.take(Effect.void))
      yield* Effect.yieldNow()
      turns.abort()
      second.unsafeInterruptAsFork(FiberId.none)
      let ran = false
      const third = yield* Effect.fork(
        turns.take(
          Effect.sync(() => {
            ran = true
          })
        )
      )
      yield* Effect.repeatN(Effect.yieldNow(), 5)
      expect(ran).toBe(false)
      yield* latch.open
      yield* Fiber.join(first)
      yield* Fiber.join(third)
      expect(ran).toBe(true)
    })
  )
})
