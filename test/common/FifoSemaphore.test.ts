import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { FifoSemaphore } from "../../src/common/FifoSemaphore.js"

const settle = Effect.yieldNow().pipe(Effect.repeatN(20))

describe("turns", () => {
  it.effect("so many run at once, the others follow in order, and an interrupted one gives its turn away", () =>
    Effect.gen(function* () {
      const turns = new FifoSemaphore(2)
      const order: Array<number> = []
      const gates = yield* Effect.forEach([0, 1, 2, 3, 4], () => Deferred.make<void>())
      const fibers = yield* Effect.forEach(gates, (gate, n) =>
        Effect.fork(
          turns.take(
            Effect.zipRight(
              Effect.sync(() => order.push(n)),
              Deferred.await(gate)
            )
          )
        )
      )
      yield* settle
      expect(order).toEqual([0, 1])
      yield* Fiber.interrupt(fibers[2]!)
      yield* Fiber.interrupt(fibers[0]!)
      yield* settle
      expect(order).toEqual([0, 1, 3])
      yield* Deferred.succeed(gates[1]!, undefined)
      yield* settle
      expect(order).toEqual([0, 1, 3, 4])
    })
  )
})
