import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { OneShot } from "../../src/common/OneShot.js"

it.effect("an outcome comes once, to all who wait and to all who come later; who is interrupted waits no more", () =>
  Effect.gen(function* () {
    const once = new OneShot<string, string>()
    const waiting = yield* Effect.fork(once.wait)
    const interrupted = yield* Effect.fork(once.wait)
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(interrupted)
    expect(once.done(Exit.succeed("first"))).toBe(true)
    expect(once.done(Exit.fail("second"))).toBe(false)
    expect(yield* Fiber.join(waiting)).toBe("first")
    expect(yield* once.wait).toBe("first")
    expect(Exit.isInterrupted(yield* Fiber.await(interrupted))).toBe(true)
  })
)
