import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/TestClock"
import { describe, expect, it } from "@effect/vitest"
import { make } from "../../src/observability/Essentials.js"

const bench = Effect.gen(function* () {
  const clock = yield* Effect.clock
  const restarts: Array<string> = []
  const lines: Array<string> = []
  const essentials = make(
    () => Number(clock.unsafeCurrentTimeNanos()) / 1e6,
    (fiber) => restarts.push(fiber)
  )
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel.label} ${String(message)}`)
  })
  return { ...essentials, restarts, lines, logged: Logger.replace(Logger.defaultLogger, logger) }
})

describe("a fiber that an instance lives by", () => {
  for (const [how, end] of [
    ["a defect", Effect.die(new TypeError("x"))],
    ["a failure", Effect.fail("x")],
    [
      "an exception",
      Effect.sync(() => {
        throw new RangeError("x")
      })
    ]
  ] as const) {
    it.effect(`is begun again after ${how}: said at ERROR, counted, and in trouble until it is well again`, () =>
      Effect.gen(function* () {
        const { essential, lines, logged, restarts, troubles } = yield* bench
        let runs = 0
        const work = Effect.suspend(() => (++runs < 3 ? Effect.delay(end, 5) : Effect.never))
        const fiber = yield* Effect.fork(Effect.provide(essential("watch", work), logged))
        yield* TestClock.adjust(5)
        expect(troubles().map(({ name }) => name)).toEqual(["watch"])
        expect(lines).toEqual(["ERROR watch has ended by a fault and begins again"])
        yield* TestClock.adjust("3 seconds")
        expect({ runs, restarts }).toEqual({ runs: 3, restarts: ["watch", "watch"] })
        yield* TestClock.adjust("12 seconds")
        expect(troubles()).toEqual([])
        yield* Fiber.interrupt(fiber)
        expect(runs).toBe(3)
      })
    )
  }

  it.effect("that is interrupted, or ends by itself, has ended", () =>
    Effect.gen(function* () {
      const { essential, restarts } = yield* bench
      yield* essential("a", Effect.void)
      yield* Effect.raceFirst(essential("b", Effect.never), Effect.void)
      expect(restarts).toEqual([])
    })
  )
})

describe("what is retried", () => {
  it.effect("is said at WARN after ten seconds, again each minute, and is in trouble until it is over", () =>
    Effect.gen(function* () {
      const { lines, logged, retrying, troubles } = yield* bench
      const joining = retrying("joining")
      const fails = Effect.provide(joining.failed("no answer"), logged)
      for (let second = 0; second < 140; second++) {
        yield* fails
        expect(troubles().length).toBe(second >= 10 ? 1 : 0)
        yield* TestClock.adjust("1 second")
      }
      expect(lines).toEqual([10, 70, 130].map((s) => `WARN joining (for ${s} s): no answer`))
      joining.over()
      expect(troubles()).toEqual([])
    })
  )
})
