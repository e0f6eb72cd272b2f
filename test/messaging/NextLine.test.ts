/** Mode NEXT keeps in step: a late reply is nobody else's, and those who wait are bounded. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { ByteBudget } from "../../src/common/ByteBudget.js"
import { CALLER } from "../../src/domain/Limits.js"
import type { ResolvedCorrelation } from "../../src/domain/Spec.js"
import * as Correlator from "../../src/messaging/correlation/Correlator.js"

const NEXT: ResolvedCorrelation = { mode: "next", requestPath: "$.id", replyPath: "$.id" }
const JSON_FIELD: ResolvedCorrelation = { ...NEXT, mode: "json-field" }

const connection = (bytes = 100_000) => {
  const budget = new ByteBudget(bytes)
  const sent: Array<string> = []
  let outOfStep = 0
  const correlator = Correlator.make("c1", { budget, outOfStep: () => outOfStep++ })
  const ask = (message: string, timeoutMs = 60_000, correlation = NEXT, stuck = false) =>
    correlator.request({
      message: Buffer.from(message),
      binary: false,
      correlation,
      timeoutMs,
      send: (data, _binary, handed) =>
        stuck
          ? Effect.never
          : Effect.sync(() => {
              handed()
              sent.push(Buffer.from(data).toString())
            })
    })
  const settle = Effect.repeatN(Effect.yieldNow(), 10)
  return {
    budget,
    sent,
    correlator,
    outOfStep: () => outOfStep,
    ask: (...args: Parameters<typeof ask>) => Effect.tap(Effect.fork(ask(...args)), () => settle),
    asked: ask,
    settle,
    reply: (text: string) =>
      Effect.zipLeft(
        Effect.sync(() => correlator.tryMatch(Buffer.from(text), false)),
        settle
      )
  }
}

const textOf = <E>(fiber: Fiber.Fiber<{ readonly response: Uint8Array }, E>) =>
  Effect.map(Fiber.join(fiber), ({ response }) => Buffer.from(response).toString())
const tagOf = <A, E extends { readonly _tag: string }>(fiber: Fiber.Fiber<A, E>) =>
  Effect.map(Effect.flip(Fiber.join(fiber)), ({ _tag }) => _tag)

describe("a reply that comes late", () => {
  it.effect("is an ordinary frame, and the next caller gets its own", () =>
    Effect.gen(function* () {
      const { ask, reply, sent } = connection()
      const one = yield* ask("one", 300)
      yield* TestClock.adjust(300)
      expect(yield* tagOf(one)).toBe("SendTimeout")
      const two = yield* ask("two")
      expect(sent).toEqual(["one"])
      yield* TestClock.adjust(200)
      expect(yield* reply("reply to one")).toBe(false)
      expect(sent).toEqual(["one", "two"])
      expect(yield* reply("reply to two")).toBe(true)
      expect(yield* textOf(two)).toBe("reply to two")
    })
  )

  it.effect("is one for a caller that went away, and for one after the other that gave up", () =>
    Effect.gen(function* () {
      const { ask, correlator, reply, sent } = connection()
      const one = yield* ask("one")
      yield* Fiber.interrupt(one)
      const two = yield* ask("two", 1000)
      yield* TestClock.adjust(1000)
      expect(yield* tagOf(two)).toBe("SendTimeout")
      const three = yield* ask("three", 500)
      expect(yield* reply("reply to one")).toBe(false)
      expect(sent).toEqual(["one", "three"])
      yield* TestClock.adjust(500)
      expect(yield* tagOf(three)).toBe("SendTimeout")
      const four = yield* ask("four")
      expect(yield* reply("reply to three")).toBe(false)
      expect(yield* reply("reply to four")).toBe(true)
      expect(yield* textOf(four)).toBe("reply to four")
      expect(correlator.waiting()).toBe(false)
    })
  )

  it.effect("to a request of another mode is not taken for the reply of mode NEXT", () =>
    Effect.gen(function* () {
      const { ask, reply } = connection()
      const field = yield* ask('{"id":7}', 300, JSON_FIELD)
      yield* TestClock.adjust(300)
      expect(yield* tagOf(field)).toBe("SendTimeout")
      const next = yield* ask("next")
      expect(yield* reply('{"id":7,"late":true}')).toBe(false)
      expect(yield* reply('{"id":7,"again":true}')).toBe(true)
      expect(yield* textOf(next)).toBe('{"id":7,"again":true}')
    })
  )

  it.effect("is not waited for where the message never went out", () =>
    Effect.gen(function* () {
      const { ask, correlator, reply, sent } = connection()
      const one = yield* ask("one", 300, NEXT, true)
      yield* TestClock.adjust(300)
      expect(yield* tagOf(one)).toBe("SendTimeout")
      expect(correlator.waiting()).toBe(false)
      const two = yield* ask("two")
      expect(sent).toEqual(["two"])
      expect(yield* reply("reply to two")).toBe(true)
      expect(yield* textOf(two)).toBe("reply to two")
    })
  )
})

describe("a reply that never comes", () => {
  it.effect("asks for another socket once it is overdue and somebody waits, and the next socket owes nothing", () =>
    Effect.gen(function* () {
      const { ask, correlator, outOfStep, reply, sent } = connection()
      yield* ask("one", 300)
      yield* TestClock.adjust(300)
      const two = yield* ask("two")
      yield* TestClock.adjust(CALLER.NEXT_OWED_MS - 1)
      expect(outOfStep()).toBe(0)
      yield* TestClock.adjust(1)
      expect(outOfStep()).toBe(1)
      correlator.abort()
      expect(yield* Effect.flip(Fiber.join(two))).toEqual({ _tag: "RequestAborted", sent: "no" })
      expect(correlator.waiting()).toBe(false)
      const three = yield* ask("three")
      expect(sent).toEqual(["one", "three"])
      expect(yield* reply("reply to three")).toBe(true)
      expect(yield* textOf(three)).toBe("reply to three")
    })
  )

  it.effect("costs nothing where nobody waits, until somebody comes; one that comes at last is an ordinary frame", () =>
    Effect.gen(function* () {
      const { ask, outOfStep, reply, sent } = connection()
      yield* ask("one", 300)
      yield* TestClock.adjust(100_000)
      expect(outOfStep()).toBe(0)
      const two = yield* ask("two")
      expect(outOfStep()).toBe(1)
      expect(sent).toEqual(["one"])
      expect(yield* reply("reply to one")).toBe(false)
      expect(yield* reply("reply to two")).toBe(true)
      expect(yield* textOf(two)).toBe("reply to two")
    })
  )
})

describe("those who wait for their turn", () => {
  it.effect("are at most 64", () =>
    Effect.gen(function* () {
      const { ask, asked } = connection()
      yield* ask("first")
      for (let i = 0; i < CALLER.NEXT_WAITING; i++) yield* ask("")
      expect((yield* Effect.flip(asked(""))) as unknown).toMatchObject({ _tag: "BufferFull" })
    })
  )

  it.effect("hold their messages under the connection's budget, and give back what they hold however they end", () =>
    Effect.gen(function* () {
      const { ask, asked, budget, correlator, reply } = connection(100)
      yield* ask("x".repeat(90))
      expect(budget.used).toBe(0)
      const waiting = yield* ask("y".repeat(60))
      expect(budget.used).toBe(60)
      expect((yield* Effect.flip(asked("z".repeat(50)))) as unknown).toMatchObject({ _tag: "BufferFull" })
      const third = yield* ask("z".repeat(40), 1000)
      expect(budget.used).toBe(100)
      yield* TestClock.adjust(1000)
      expect(yield* tagOf(third)).toBe("SendTimeout")
      expect(budget.used).toBe(60)
      yield* reply("r")
      expect(budget.used).toBe(0)
      yield* ask("last")
      expect(budget.used).toBe(4)
      correlator.abort()
      yield* Fiber.await(waiting)
      yield* Effect.yieldNow()
      expect(budget.used).toBe(0)
    })
  )
})
