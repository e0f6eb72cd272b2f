import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import * as SuspendAwareClock from "../../src/common/SuspendAwareClock.js"
import { IncarnationState } from "../../src/membership/lease/Incarnation.js"
import * as LeaseController from "../../src/membership/lease/LeaseController.js"
import { report } from "../../src/membership/lease/LeaseGuard.js"
import * as LeaseTimings from "../../src/membership/lease/LeaseTimings.js"
import { shiftedClock } from "../support/shiftedClock.js"
import { SETTINGS, start, until } from "./clockedInstances.js"

/** The lines about the lease that `body` logs. */
const logged = <A, E, R>(body: (lines: ReadonlyArray<string>) => Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    const line = `${logLevel.label} ${String(message)}`
    if (line.includes("the lease is ")) lines.push(line)
  })
  return Effect.provide(body(lines), Logger.replace(Logger.defaultLogger, logger))
}

describe("a lease that is lost, in the log", () => {
  it.scoped("after a freeze: one warning, and one line when it is held again", () =>
    logged((lines) =>
      Effect.gen(function* () {
        let frozen = 0
        const suspended = yield* shiftedClock(() => frozen)
        const one = yield* Effect.withClock(start(new MemoryBackend()), suspended)
        yield* until(one.lease.valid)
        yield* TestClock.adjust("1 second")
        expect(lines).toEqual([])
        frozen = 30_000
        yield* until(() => one.changes.length === 3)
        yield* TestClock.adjust("10 seconds")
        expect(one.changes).toEqual(["held", "lost", "held"])
        expect(lines).toEqual([
          expect.stringMatching(/^WARN the lease is lost: the process was frozen.* 3\d\.\d s ago$/),
          "INFO the lease is held again"
        ])
      })
    )
  )

  it.scoped("while the store does not answer: for how long it has not", () =>
    logged((lines) =>
      Effect.gen(function* () {
        const elapsed = yield* SuspendAwareClock.make
        const life = new IncarnationState("life", elapsed, LeaseTimings.make(SETTINGS))
        const board = LeaseController.make(life)
        yield* Effect.forkScoped(report(board, life))
        board.renew(life, elapsed.mark())
        board.joined(life)
        yield* TestClock.adjust("5500 millis")
        life.miss(elapsed.mark())
        board.lapse(life)
        yield* TestClock.adjust("1 second")
        expect(lines).toEqual(["WARN the lease is lost: the state store has not answered for 5.5 s"])
      })
    )
  )
})
