import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import type { ResolvedReconnect } from "../../src/domain/Spec.js"
import * as ReconnectPolicy from "../../src/socket/dial/ReconnectPolicy.js"
import { specOf } from "./testSession.js"

const policy = specOf("ws://x").reconnect
const usual: ReconnectPolicy.Retry = { decision: "retry", retryAfterMs: undefined }
const slowly = (retryAfterMs?: number): ReconnectPolicy.Retry => ({ decision: "retry-slowly", retryAfterMs })

/** Feeds the schedule and sleeps as it says, under the test clock; what was announced, when, and what really passed. */
const drive = (p: ResolvedReconnect, inputs: ReadonlyArray<ReconnectPolicy.Retry | "stable">) =>
  Effect.gen(function* () {
    const log: Array<{ attempt: number; announced: number; passed: number }> = []
    let announced: readonly [attempt: number, delay: number] = [0, 0]
    const driver = yield* Schedule.driver(
      ReconnectPolicy.schedule(p).pipe(
        Schedule.modifyDelayEffect((attempt, delay) => {
          announced = [attempt, Duration.toMillis(delay)]
          return Effect.succeed(delay)
        })
      )
    )
    let ended = false
    const fiber = yield* Effect.fork(
      Effect.gen(function* () {
        for (const input of inputs) {
          if (input === "stable") {
            yield* driver.reset
            continue
          }
          const before = yield* Clock.currentTimeMillis
          const next = yield* Effect.exit(driver.next(input))
          if (Exit.isFailure(next)) {
            ended = true
            return
          }
          log.push({
            attempt: next.value,
            announced: announced[1],
            passed: (yield* Clock.currentTimeMillis) - before
          })
          expect(announced[0]).toBe(next.value)
        }
      })
    )
    yield* TestClock.adjust("3 hours")
    yield* Fiber.join(fiber)
    return { log, ended }
  })

describe("ReconnectPolicy", () => {
  it("a delay is between a half and the whole of base · factor^(attempt − 1), never above the maximum", () => {
    const bounds = (attempt: number) =>
      [0, 1].map((random) => ReconnectPolicy.delayMillis(policy, attempt, usual, random))
    expect([1, 2, 3, 4, 5, 6, 7, 2000].map(bounds)).toEqual([
      [500, 1000],
      [1000, 2000],
      [2000, 4000],
      [4000, 8000],
      [8000, 16_000],
      [15_000, 30_000],
      [15_000, 30_000],
      [15_000, 30_000]
    ])
  })

  it("a slow retry waits the maximum less jitter from the first attempt on, or a longer Retry-After up to 15 minutes", () => {
    const delay = (retryAfterMs: number | undefined, random: number) =>
      ReconnectPolicy.delayMillis(policy, 1, slowly(retryAfterMs), random)
    expect([delay(undefined, 0), delay(undefined, 1)]).toEqual([15_000, 30_000])
    expect([delay(1000, 0), delay(1000, 1)]).toEqual([15_000, 30_000])
    expect([delay(120_000, 0), delay(120_000, 1)]).toEqual([120_000, 120_000])
    expect(delay(86_400_000, 0.5)).toBe(900_000)
  })

  it("a Retry-After is not looked at when retrying at the usual pace", () => {
    expect(ReconnectPolicy.delayMillis(policy, 1, { decision: "retry", retryAfterMs: 60_000 }, 1)).toBe(1000)
  })

  it.effect("the delay announced is the delay slept, attempts count from 1 and keep their pace through slow ones", () =>
    Effect.gen(function* () {
      const { log } = yield* drive(policy, [usual, usual, slowly(60_000), usual, usual, usual, usual])
      expect(log.map((l) => l.attempt)).toEqual([1, 2, 3, 4, 5, 6, 7])
      const bases = [1000, 2000, 60_000, 8000, 16_000, 30_000, 30_000]
      log.forEach((l, i) => {
        expect(Math.abs(l.passed - l.announced)).toBeLessThan(2)
        expect(l.announced).toBeLessThanOrEqual(bases[i]!)
        expect(l.announced).toBeGreaterThanOrEqual(bases[i]! / 2)
      })
      expect(log[2]!.announced).toBe(60_000)
      expect(new Set(log.map((l) => l.announced / bases[log.indexOf(l)]!)).size).toBeGreaterThan(4)
    })
  )

  it.effect("it does not start again by itself, however long it has been going on; reset starts it again", () =>
    Effect.gen(function* () {
      const failing = Array.from({ length: 40 }, () => usual)
      const { log } = yield* drive(policy, [...failing, "stable", usual])
      expect(log.slice(6, 40).every((l) => l.announced >= 15_000)).toBe(true)
      expect(log.at(-1)!.attempt).toBe(1)
      expect(log.at(-1)!.announced).toBeLessThanOrEqual(1000)
    })
  )

  it.effect("it ends when max_attempts are used up", () =>
    Effect.gen(function* () {
      const { ended, log } = yield* drive({ ...policy, maxAttempts: 3 }, [usual, slowly(), usual, usual])
      expect(log.map((l) => l.attempt)).toEqual([1, 2, 3])
      expect(ended).toBe(true)
    })
  )
})
