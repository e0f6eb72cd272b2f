import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as DialBudget from "../../src/socket/dial/DialBudget.js"

const HOST = "feed.example:443"

/** Only hosts are held back. */
const budgetOf = (rate: () => number) =>
  DialBudget.make({ dialRatePerHost: 1, dialRatePerAddress: 1e6, dialRateTotal: 1e6 }, rate)

/** Starts `n` dials in order; when each was let through, in milliseconds. */
const dial = (budget: DialBudget.DialBudget["Type"], n: number, host = HOST) =>
  Effect.gen(function* () {
    const at: Array<number> = []
    const order: Array<number> = []
    const fibers: Array<Fiber.RuntimeFiber<void>> = []
    for (let i = 0; i < n; i++) {
      fibers.push(
        yield* Effect.fork(
          Effect.gen(function* () {
            yield* budget.acquire(host)
            at.push(yield* Clock.currentTimeMillis)
            order.push(i)
          })
        )
      )
      yield* Effect.yieldNow()
    }
    return { at, order, fibers }
  })

describe("DialBudget", () => {
  it.effect("a burst is one second's share, then the rate holds, first come first served", () =>
    Effect.gen(function* () {
      const budget = yield* budgetOf(() => 10)
      const { at, order } = yield* dial(budget, 25)
      expect(at).toEqual(Array(10).fill(0))
      yield* TestClock.adjust("1 second")
      expect(at.slice(10)).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900, 1000])
      yield* TestClock.adjust("10 seconds")
      expect(at.slice(20)).toEqual([1100, 1200, 1300, 1400, 1500])
      expect(order).toEqual(Array.from({ length: 25 }, (_, i) => i))
    })
  )

  it.effect("in no five seconds more than 1.1 times the rate, whatever was saved before; then the rate holds", () =>
    Effect.gen(function* () {
      const rate = 20
      const budget = yield* budgetOf(() => rate)
      // steady first, and the bucket full again when the flood comes
      for (let i = 0; i < 20; i++) {
        yield* budget.acquire(HOST)
        yield* TestClock.adjust("100 millis")
      }
      const { at } = yield* dial(budget, 300)
      yield* TestClock.adjust("20 seconds")
      expect(at.length).toBe(300)
      expect(at.filter((one) => one === at[0]).length).toBe(rate)
      const inFive = at.map((from) => at.filter((one) => one >= from && one < from + 5000).length)
      expect(Math.max(...inFive)).toBeLessThanOrEqual(1.1 * rate * 5)
      // nobody waits longer for it than the window is
      expect((at.at(-1)! - at[0]!) / 1000).toBeLessThanOrEqual(300 / rate)
    })
  )

  it.effect("waitMillis knows of a full window", () =>
    Effect.gen(function* () {
      const budget = yield* budgetOf(() => 10)
      yield* dial(budget, 54)
      yield* TestClock.adjust("4500 millis")
      expect(budget.waitMillis(HOST)).toBeGreaterThanOrEqual(500)
      yield* TestClock.adjust("1 second")
      expect(budget.waitMillis(HOST)).toBe(0)
    })
  )

  it.effect("a rate below one a second still lets one through at once", () =>
    Effect.gen(function* () {
      const budget = yield* budgetOf(() => 0.25)
      const { at } = yield* dial(budget, 3)
      yield* TestClock.adjust("8 seconds")
      expect(at).toEqual([0, 4000, 8000])
    })
  )

  it.effect("hosts do not wait for each other", () =>
    Effect.gen(function* () {
      const budget = yield* budgetOf(() => 1)
      const one = yield* dial(budget, 2, "a:1")
      const other = yield* dial(budget, 1, "a:2")
      expect([one.at, other.at]).toEqual([[0], [0]])
    })
  )

  it.effect("waitMillis tells what a dial that asks now would wait", () =>
    Effect.gen(function* () {
      const budget = yield* budgetOf(() => 10)
      expect(budget.waitMillis(HOST)).toBe(0)
      yield* dial(budget, 10)
      expect(budget.waitMillis(HOST)).toBeCloseTo(100)
      yield* dial(budget, 5)
      expect(budget.waitMillis(HOST)).toBeCloseTo(600)
      yield* TestClock.adjust("500 millis")
      expect(budget.waitMillis(HOST)).toBeCloseTo(100)
    })
  )

  it.effect("whoever is interrupted gives the place back, also the one at the counter", () =>
    Effect.gen(function* () {
      const budget = yield* budgetOf(() => 1)
      const { fibers, order } = yield* dial(budget, 5)
      yield* Fiber.interrupt(fibers[1]!)
      yield* Fiber.interrupt(fibers[3]!)
      yield* TestClock.adjust("2 seconds")
      expect(order).toEqual([0, 2, 4])
      expect(budget.waitMillis(HOST)).toBeCloseTo(1000)
    })
  )

  it.effect("a changed share is felt within a second, a share of 0 dials nothing", () =>
    Effect.gen(function* () {
      let share = 0
      const budget = yield* budgetOf(() => 100 * share)
      const { at } = yield* dial(budget, 3)
      yield* TestClock.adjust("30 seconds")
      expect(at).toEqual([])
      expect(budget.waitMillis(HOST)).toBe(Infinity)
      share = 0.5
      yield* TestClock.adjust("2 seconds")
      expect(at.length).toBe(3)
    })
  )

  it.effect("hosts that are no longer dialled are forgotten", () =>
    Effect.gen(function* () {
      const budget = yield* budgetOf(() => 10)
      for (let i = 0; i < 500; i++) yield* budget.acquire(`host${i}:443`)
      expect(budget.hosts()).toBe(500)
      yield* TestClock.adjust("6 seconds")
      expect(budget.hosts()).toBe(0)
    })
  )

  const rates = { dialRatePerHost: 10, dialRatePerAddress: 20, dialRateTotal: 1000 }

  /** Dials `n` different hosts, each at its own of these addresses; how many are through. */
  const dialAll = (budget: DialBudget.DialBudget["Type"], n: number, address: (i: number) => string) =>
    Effect.gen(function* () {
      const through = { count: 0 }
      for (let i = 0; i < n; i++) {
        const host = `a${i}.victim.example:${443 + i}`
        yield* Effect.fork(
          Effect.zipRight(budget.acquire(host), budget.acquireAddress(host, address(i))).pipe(
            Effect.tap(() => void through.count++)
          )
        )
      }
      yield* Effect.yieldNow()
      return through
    })

  it.effect.each([
    ["one address", () => "8.8.4.4", 20],
    ["one IPv4 /24", (i: number) => `8.8.4.${i}`, 20],
    ["one IPv6 /56", (i: number) => `2606:4700:1:2${(i % 200).toString(16).padStart(2, "0")}::${i.toString(16)}`, 20],
    ["one address, written in several forms", (i: number) => (i % 2 ? "::ffff:8.8.4.4" : "64:ff9b::8.8.4.4"), 20],
    ["as many networks as hosts", (i: number) => `8.8.${i}.4`, 200],
    ["as many networks behind one NAT64", (i: number) => `64:ff9b::8.8.${i}.4`, 200],
    ["neighbours in a private network", (i: number) => `10.1.2.${i}`, 200]
  ] as const)("names and ports do not multiply what goes to %s", ([, address, atOnce]) =>
    Effect.gen(function* () {
      const budget = yield* DialBudget.make(rates)
      const through = yield* dialAll(budget, 200, address)
      expect(through.count).toBe(atOnce)
      yield* TestClock.adjust("3 seconds")
      expect(through.count).toBe(Math.min(200, atOnce + 60))
    })
  )

  it.effect("all dials together keep the total: five times its rate is through in four seconds", () =>
    Effect.gen(function* () {
      const budget = yield* DialBudget.make({ dialRatePerHost: 10, dialRatePerAddress: 50, dialRateTotal: 200 })
      const through = yield* dialAll(budget, 1000, (i) => `8.${i >> 8}.${i & 255}.1`)
      expect(through.count).toBe(200)
      expect(budget.waitMillis("other.example:443")).toBeGreaterThan(3900)
      yield* TestClock.adjust("4 seconds")
      expect(through.count).toBe(1000)
    })
  )

  it.effect("a host that led to a busy network waits for that network too, as far as waitMillis knows", () =>
    Effect.gen(function* () {
      const budget = yield* DialBudget.make(rates)
      yield* dialAll(budget, 40, () => "8.8.4.4")
      expect(budget.waitMillis("a0.victim.example:443")).toBeGreaterThan(900)
      expect(budget.waitMillis("a.other.example:443")).toBe(0)
    })
  )

  it.effect(
    "further addresses of a dial are tried at once, and later dials wait for them; not more than a second's worth",
    () =>
      Effect.gen(function* () {
        const budget = yield* DialBudget.make(rates)
        const tried = Array.from({ length: 100 }, () => budget.mayTry("8.8.4.4")).filter(Boolean).length
        expect(tried).toBe(40)
        const through = yield* dialAll(budget, 1, () => "8.8.4.5")
        yield* TestClock.adjust("900 millis")
        expect(through.count).toBe(0)
        yield* TestClock.adjust("200 millis")
        expect(through.count).toBe(1)
        expect(budget.mayTry("9.9.9.9")).toBe(true)
      })
  )

  it.effect("names that somebody makes up do not fill memory, and whoever waits is not forgotten", () =>
    Effect.gen(function* () {
      const budget = yield* DialBudget.make({ dialRatePerHost: 1, dialRatePerAddress: 1, dialRateTotal: 1e6 })
      const waiting = yield* dial(budget, 2, "waits.example:443")
      for (let i = 0; i < 30_000; i++) {
        const host = `${"x".repeat(1000)}${i}.example:443`
        yield* budget.acquire(host)
        yield* budget.acquireAddress(host, `2606:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::1`)
      }
      expect(budget.hosts()).toBeLessThanOrEqual(10_001)
      expect(budget.networks()).toBeLessThanOrEqual(10_001)
      expect(waiting.at.length).toBe(1)
      yield* TestClock.adjust("1 second")
      expect(waiting.at.length).toBe(2)
    })
  )
})
