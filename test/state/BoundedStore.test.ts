import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import type { StateStore, Version } from "../../src/ports/StateStore.js"
import { bounded } from "../../src/state/BoundedStore.js"

let interrupted = 0
const never = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
const silent: StateStore["Type"] = {
  get: () => never,
  getMany: () => never,
  create: () => never,
  replace: () => never,
  remove: () => never,
  ping: never
}

it.scoped("a store that never answers is answered for, each call at its own deadline", () =>
  Effect.gen(function* () {
    interrupted = 0
    const store = yield* bounded(silent)
    const first = yield* Effect.fork(Effect.flip(store.get("a")))
    const many = yield* Effect.fork(Effect.flip(store.getMany(["a"])))
    yield* TestClock.adjust("1 second")
    const second = yield* Effect.fork(Effect.flip(store.replace("a", "b", "v" as Version)))
    yield* TestClock.adjust("999 millis")
    expect(first.unsafePoll()).toBe(null)
    yield* TestClock.adjust("1 millis")
    expect(yield* Fiber.join(first)).not.toHaveProperty("outcome", "unknown")
    expect(second.unsafePoll()).toBe(null)
    yield* TestClock.adjust("1 second")
    expect(yield* Fiber.join(second)).toMatchObject({ _tag: "StateStoreUnavailable", outcome: "unknown" })
    expect(many.unsafePoll()).toBe(null)
    yield* TestClock.adjust("8 seconds")
    expect(yield* Fiber.join(many)).toMatchObject({ _tag: "StateStoreUnavailable" })
    expect(interrupted).toBe(3)
    // and again, after nothing was to be watched
    const late = yield* Effect.fork(Effect.flip(store.ping))
    yield* TestClock.adjust("2 seconds")
    expect(yield* Fiber.join(late)).toMatchObject({ _tag: "StateStoreUnavailable" })
  })
)
