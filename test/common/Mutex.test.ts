import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Mutex } from "../../src/common/Mutex.js"

describe("one at a time", () => {
  it.effect("runs in order, never two at once, and goes on after a failure and after rest", () =>
    Effect.gen(function* () {
      const line = new Mutex()
      const log: Array<string> = []
      const step = (name: string) =>
        line.run(
          Effect.gen(function* () {
            log.push(`${name} begins`)
            yield* Effect.yieldNow()
            log.push(`${name} ends`)
            if (name === "b") yield* Effect.fail("b failed")
          })
        )
      const exits = yield* Effect.forEach(["a", "b", "c"], (name) => Effect.either(step(name)), {
        concurrency: "unbounded"
      })
      yield* step("d")
      expect(exits.map(({ _tag }) => _tag)).toEqual(["Right", "Left", "Right"])
      expect(log).toEqual(["a", "b", "c", "d"].flatMap((name) => [`${name} begins`, `${name} ends`]))
    })
  )

  it.effect("an interrupted one gives its place away, whether it ran or waited", () =>
    Effect.gen(function* () {
      const line = new Mutex()
      const began = yield* Deferred.make<void>()
      const running = yield* Effect.fork(line.run(Effect.zipRight(Deferred.succeed(began, undefined), Effect.never)))
      yield* Deferred.await(began)
      const waiting = yield* Effect.fork(line.run(Effect.die("was interrupted before its turn")))
      const last = yield* Effect.fork(line.run(Effect.succeed("done")))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      yield* Fiber.interrupt(running)
      expect(yield* Fiber.join(last)).toBe("done")
    })
  )
})
