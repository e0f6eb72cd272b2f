import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { StateStoreUnavailable } from "../../src/domain/Errors.js"
import type { StateStore } from "../../src/ports/StateStore.js"
import { put } from "../../src/state/GuardedWrite.js"

/** A store whose first create may have landed, and which then has nothing: it has lost it, or never had it. */
const forgetful = () => {
  const creates: Array<string> = []
  const store = {
    create: (_key: string, value: string) =>
      Effect.suspend(() => {
        creates.push(value)
        return creates.length === 1
          ? new StateStoreUnavailable({ outcome: "unknown", reason: "no answer" })
          : Effect.succeed("1")
      }),
    get: () => Effect.succeed(Option.none())
  } as unknown as StateStore["Type"]
  return { creates, store }
}

const written = (store: StateStore["Type"], stands: Effect.Effect<boolean, StateStoreUnavailable>) =>
  Effect.gen(function* () {
    const writing = yield* Effect.fork(
      Effect.either(
        put(store, {
          key: "k",
          expected: undefined,
          value: (nonce) => JSON.stringify({ nonce }),
          mayWrite: () => true,
          abandoned: () => false,
          stands,
          patient: false
        })
      )
    )
    yield* TestClock.adjust("2 seconds")
    return yield* Fiber.join(writing)
  })

describe("a create that may have landed, and is not there", () => {
  it.effect("is repeated with the same nonce, where its writer still stands in the store", () =>
    Effect.gen(function* () {
      const { creates, store } = forgetful()
      expect(yield* written(store, Effect.succeed(true))).toMatchObject({ _tag: "Right", right: { version: "1" } })
      expect(creates).toEqual([creates[0], creates[0]])
    })
  )

  it.effect("is not repeated where the store has lost its writer too: its outcome is unknown", () =>
    Effect.gen(function* () {
      const { creates, store } = forgetful()
      const outcome = yield* written(store, Effect.succeed(false))
      expect(outcome).toMatchObject({ _tag: "Left", left: { _tag: "StateStoreUnavailable", outcome: "unknown" } })
      expect(creates).toHaveLength(1)
    })
  )

  it.effect("waits for the store to say whether its writer stands", () =>
    Effect.gen(function* () {
      const { creates, store } = forgetful()
      let asked = 0
      const stands = Effect.suspend(() =>
        ++asked < 3 ? new StateStoreUnavailable({ reason: "away" }) : Effect.succeed(true)
      )
      expect(yield* written(store, stands)).toMatchObject({ _tag: "Right" })
      expect([asked, creates.length]).toEqual([3, 2])
    })
  )
})
