import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Pacer from "../../src/common/Pacer.js"

describe("a pacer", () => {
  it("spaces its permits evenly, at the rate of each", () => {
    let now = 1000
    const pacer = Pacer.make(() => now)
    expect([pacer.next(10), pacer.next(10), pacer.next(2), pacer.next(10)]).toEqual([0, 100, 200, 700])
    now = 1750
    expect(pacer.next(10)).toBe(50)
  })

  it("gives nothing for a pause", () => {
    let now = 0
    const pacer = Pacer.make(() => now)
    pacer.next(10, 5)
    now = 60_000
    expect([pacer.next(10), pacer.next(10)]).toEqual([0, 100])
  })

  it.effect("waits until several more may go", () =>
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      const pacer = Pacer.make(() => clock.unsafeCurrentTimeMillis())
      yield* pacer.take(10, 3)
      const next = yield* Effect.fork(pacer.take(10))
      yield* TestClock.adjust(299)
      expect(next.unsafePoll()).toBeNull()
      yield* TestClock.adjust(1)
      yield* Fiber.join(next)
    })
  )
})
