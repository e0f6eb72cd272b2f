import { expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { until } from "../membership/clockedInstances.js"
import { createMany, kill, member, record } from "./survivors.js"

it.scoped(
  "who takes no work any more claims nothing further, and is handed all that it has claimed",
  () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const a = yield* member(backend, "a")
      const b = yield* member(backend, "b", { reclaims: false })
      const owned = yield* createMany(a, 300)
      yield* until(() => b.membership.live().length === 2)
      yield* kill(backend, a)

      const stop = yield* Deferred.make<void>()
      const taken = new Set<string>()
      const running = yield* Effect.fork(
        Effect.zipRight(
          Stream.runDrain(b.store.claimOwn),
          // slower than it claims: some wait to be taken
          Stream.runForEach(b.reclaimer.claims(Deferred.await(stop)), (claimed) =>
            Effect.as(Effect.sleep("20 millis"), taken.add(claimed.owned.id))
          )
        )
      )
      const ofB = () => owned.filter(({ id }) => record(backend, id).owner === "b").map(({ id }) => id)
      yield* until(() => taken.size >= 10)
      expect(ofB().length).toBeGreaterThan(taken.size)
      yield* Deferred.succeed(stop, undefined)
      for (let i = 0; i < 100 && running.unsafePoll() === null; i++) yield* TestClock.adjust("50 millis")
      yield* Fiber.join(running)
      expect(ofB().length).toBeLessThan(300)
      expect(taken).toEqual(new Set(ofB()))
      // and nothing later
      yield* TestClock.adjust("10 seconds")
      expect(taken).toEqual(new Set(ofB()))
    }),
  60_000
)
