import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { TopicEvent } from "../../src/domain/CloudEvent.js"
import { advance, bench, settle } from "./publisherBench.js"

const frameOf = (event: TopicEvent) => (event.kind === "frame" ? event : undefined)!

describe.each([
  ["ordered inside a batch", true],
  ["not ordered inside a batch", false]
])("with a bus that is %s", (_, orderedWithinBatch) => {
  it.scoped("the frames of many connections arrive once each, in order per connection", () =>
    Effect.gen(function* () {
      const { bus, connect, metric, problems } = yield* bench({ orderedWithinBatch })
      const connections = Array.from({ length: 50 }, (_, i) => connect(`c${i}`))
      for (let round = 0; round < 40; round++) {
        for (const [i, c] of connections.entries()) c.receiveMany((i + round) % 4)
        if (round % 3 === 0) yield* settle
      }
      yield* advance("1 second")
      expect(problems("t")).toEqual([])
      const total = connections.reduce((sum, c) => sum + c.sequence, 0)
      expect(bus.eventsOf("t").length).toBe(total)
      expect(connections.reduce((sum, c) => sum + c.counters.published, 0)).toBe(total)
      expect(metric("frames_published_total")).toBe(total)
      expect(bus.batches.every(({ events }) => events.length <= 100)).toBe(true)
    })
  )

  it.scoped("many connections share one request", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench({ orderedWithinBatch })
      for (let i = 0; i < 100; i++) connect(`c${i}`).receive()
      yield* settle
      expect(bus.batches.map(({ events }) => events.length)).toEqual([100])
    })
  )

  it.scoped("entries that fail are repeated in order, and only theirs wait", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench({ orderedWithinBatch, behindRepeats: true })
      const attempts = new Map<string, number>()
      bus.failEntry = (event) => {
        const { origin, sequence } = frameOf(event)
        const name = `${origin.connectionId}:${sequence}`
        attempts.set(name, (attempts.get(name) ?? 0) + 1)
        return origin.connectionId !== "well" && sequence % 3 === 0 && attempts.get(name)! <= 2
          ? { transient: true }
          : undefined
      }
      const ill = Array.from({ length: 10 }, (_, i) => connect(`ill${i}`))
      const well = connect("well")
      for (const c of [...ill, well]) c.receiveMany(20)
      yield* settle
      expect(well.counters.published).toBe(20)
      expect(ill.every((c) => c.counters.published === 2)).toBe(true)
      yield* advance("60 seconds")
      expect(ill.map((c) => c.counters.published)).toEqual(ill.map(() => 20))
      expect(ill.every((c) => c.counters.dropped === 0)).toBe(true)
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("an outage of the bus loses nothing and keeps the order", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench({ orderedWithinBatch })
      const connections = Array.from({ length: 20 }, (_, i) => connect(`c${i}`))
      bus.unavailable = true
      for (const c of connections) c.receiveMany(50)
      yield* advance("2 minutes")
      for (const c of connections) c.receiveMany(50)
      expect(bus.eventsOf("t")).toEqual([])
      bus.heal()
      yield* advance("6 seconds")
      expect(problems("t")).toEqual([])
      expect(connections.map((c) => c.counters.published)).toEqual(connections.map(() => 100))
    })
  )

  it.scoped("an answer that is lost repeats the frames under the same ids", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench({ orderedWithinBatch })
      bus.loseResponse(1)
      const c = connect("c")
      c.receiveMany(10)
      yield* advance("1 second")
      expect(problems("t")).toEqual([])
      expect(c.counters.published).toBe(10)
      expect(bus.eventsOf("t").length).toBeGreaterThan(10)
    })
  )
})

describe("a bus that is ordered inside a batch", () => {
  it.scoped("gets a lane's repetitions in order although they fit into its share only one by one", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench()
      bus.unavailable = true
      const long = connect("long")
      long.receiveMany(100)
      yield* settle
      const others = Array.from({ length: 60 }, (_, i) => connect(`c${i}`))
      for (const c of others) c.receive()
      yield* advance("100 millis")
      const shares = bus.batches.map(
        ({ events }) => events.filter((e) => frameOf(e).origin.connectionId === "long").length
      )
      expect(shares).toContain(1)
      bus.heal()
      yield* advance("10 seconds")
      expect(problems("t")).toEqual([])
    })
  )
})

describe("a bus that is not ordered inside a batch", () => {
  it.scoped("gets at most one entry of a connection, and its next only after the answer", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench({ orderedWithinBatch: false })
      bus.slow.set("t", Duration.millis(10))
      const connections = Array.from({ length: 10 }, (_, i) => connect(`c${i}`))
      for (const c of connections) c.receiveMany(5)
      yield* advance("200 millis")
      for (const { events } of bus.batches) {
        const ids = events.map((event) => frameOf(event).origin.connectionId)
        expect(new Set(ids).size).toBe(ids.length)
      }
      for (const c of connections) {
        const times = bus.batches
          .filter(({ events }) => events.some((event) => frameOf(event).origin.connectionId === c.id))
          .map(({ at }) => at)
        expect(times.length).toBe(5)
        expect(times.every((at, i) => i === 0 || at - times[i - 1]! >= 10)).toBe(true)
      }
    })
  )
})

describe("repeating", () => {
  it.scoped("comes 100 ms to 5 s after a failure, later each time", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench()
      bus.unavailable = true
      connect("c").receive()
      yield* advance("2 minutes")
      const times = bus.batches.map(({ at }) => at)
      const pauses = times.slice(1).map((at, i) => at - times[i]!)
      expect(pauses.every((pause) => pause >= 100 && pause <= 5000)).toBe(true)
      expect(pauses[0]).toBeLessThanOrEqual(100)
      expect(pauses.at(-1)).toBeGreaterThanOrEqual(3750)
      expect(pauses.length).toBeGreaterThan(20)
    })
  )

  it.scoped(
    "an entry that failed ten times over thirty seconds while others went through is dropped and reported",
    () =>
      Effect.gen(function* () {
        const { arrived, bus, connect, metric, problems } = yield* bench()
        bus.failEntry = (event) =>
          frameOf(event).origin.connectionId === "ill" && frameOf(event).sequence === 2
            ? { transient: true }
            : undefined
        const ill = connect("ill")
        const well = connect("well", { topic: "elsewhere" })
        ill.receiveMany(4)
        for (let second = 0; second < 29; second++) {
          well.receive()
          yield* advance("1 second")
        }
        expect(ill.counters.dropped).toBe(0)
        expect(ill.counters.published).toBe(1)
        for (let second = 0; second < 30; second++) {
          well.receive()
          yield* advance("1 second")
        }
        expect(ill.counters).toEqual({ published: 3, dropped: 1 })
        expect(ill.gaps).toMatchObject([{ cause: "publish", last: { sequence: 1 }, first: { sequence: 3 }, lost: 1 }])
        expect(metric("frames_dropped_total", "publish")).toBe(1)
        expect(new Set(arrived())).toEqual(new Set([1, 3, 4]))
        expect(problems("t", "elsewhere")).toEqual([])
      })
  )

  it.scoped("an entry is not dropped while nothing else goes through", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench()
      bus.unavailable = true
      const connections = ["a", "b"].map((id) => connect(id))
      for (const c of connections) c.receiveMany(3)
      yield* advance("10 minutes")
      bus.heal()
      yield* advance("6 seconds")
      expect(problems("t")).toEqual([])
      expect(connections.map((c) => c.counters)).toEqual([
        { published: 3, dropped: 0 },
        { published: 3, dropped: 0 }
      ])
    })
  )

  it.scoped("what is refused for good is dropped at once and reported, and the feed goes on", () =>
    Effect.gen(function* () {
      const { arrived, bus, connect, metric, problems } = yield* bench()
      bus.failEntry = (event) => ([3, 4].includes(frameOf(event).sequence) ? { transient: false } : undefined)
      yield* advance("1 second")
      const c = connect("c")
      c.receiveMany(6)
      yield* settle
      expect(arrived()).toEqual([1, 2, 5, 6])
      expect(c.counters).toEqual({ published: 4, dropped: 2 })
      expect(c.gaps).toMatchObject([
        { cause: "publish", last: { sequence: 2 }, first: { sequence: 5, at: 1000 }, lost: 2 }
      ])
      expect(metric("frames_dropped_total", "publish")).toBe(2)
      expect(metric("publish_seconds", "partial")).toBe(1)
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("a request that never ends is cut off and repeated", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench()
      bus.hanging.add("t")
      const c = connect("c")
      c.receiveMany(3)
      yield* settle
      bus.heal()
      yield* advance("59 seconds")
      expect(c.counters.published).toBe(0)
      yield* advance("2 seconds")
      expect(problems("t")).toEqual([])
      expect(bus.inFlight.get("t")).toBe(0)
    })
  )
})

describe("topics and slots", () => {
  it.scoped("a topic that hangs, is slow or fails delays no other", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench({ orderedWithinBatch: false })
      bus.hanging.add("hanging")
      bus.slow.set("slow", Duration.minutes(1))
      bus.failEntry = (_, topic) => (topic === "failing" ? { transient: true } : undefined)
      const others = ["hanging", "slow", "failing"].flatMap((topic) =>
        Array.from({ length: 10 }, (_, i) => connect(`${topic}${i}`, { topic }))
      )
      const well = connect("well")
      for (let i = 0; i < 20; i++) {
        for (const c of others) c.receiveMany(10)
        well.receive()
        yield* settle
        expect(well.counters.published).toBe(i + 1)
      }
    })
  )

  it.scoped("at most four requests are in flight for a topic, and a fifth waits for company", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench({ orderedWithinBatch: false })
      bus.slow.set("t", Duration.millis(20))
      for (let i = 0; i < 4; i++) {
        connect(`early${i}`).receive()
        yield* settle
      }
      expect(bus.batches.map(({ events }) => events.length)).toEqual([1, 1, 1, 1])
      for (let i = 0; i < 30; i++) {
        connect(`late${i}`).receive()
        yield* settle
      }
      expect(bus.batches.length).toBe(4)
      yield* advance("20 millis")
      expect(bus.batches.map(({ events }) => events.length)).toEqual([1, 1, 1, 1, 30])
      expect(bus.mostInFlight.get("t")).toBe(4)
    })
  )

  it.scoped("who finds all slots busy waits for company no longer than the linger", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench({ orderedWithinBatch: false })
      bus.slow.set("t", Duration.millis(20))
      for (let i = 0; i < 4; i++) {
        connect(`early${i}`).receive()
        yield* advance("5 millis")
      }
      // 20 ms: the first slot is free and taken again at once; the next will be free at 25 ms.
      connect("early4").receive()
      yield* advance("4 millis")
      connect("late1").receive()
      yield* advance("1 millis")
      connect("late2").receive()
      yield* advance("3 millis")
      expect(bus.batches.length).toBe(5)
      yield* advance("1 millis")
      expect(bus.batches.slice(5).map(({ events }) => events.length)).toEqual([2])
    })
  )

  it.scoped("with a free slot an event goes at the end of its turn", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench()
      const c = connect("c")
      c.receiveMany(3)
      yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
      expect(bus.batches.map(({ events }) => events.length)).toEqual([3])
    })
  )

  it.scoped("a flood of one connection leaves the others their share of each request", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench()
      bus.slow.set("t", Duration.millis(10))
      const flood = connect("flood")
      const others = Array.from({ length: 9 }, (_, i) => connect(`c${i}`))
      flood.receiveMany(2000)
      for (const c of others) c.receive()
      yield* advance("10 millis")
      expect(others.every((c) => c.counters.published === 1)).toBe(true)
    })
  )

  it.scoped("a request is no larger than the bus takes, and what is larger by itself goes alone", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench({ maxEventBytes: 1024 * 1024 })
      const c = connect("c")
      c.receiveMany(40, "x".repeat(50_000))
      yield* settle
      expect(bus.batches.length).toBeGreaterThan(5)
      for (const { events } of bus.batches) {
        expect(events.reduce((sum, event) => sum + frameOf(event).data.length, 0)).toBeLessThanOrEqual(1024 * 1024)
      }
      c.receive("y".repeat(2_000_000))
      c.receive("after")
      yield* settle
      expect(c.gaps).toMatchObject([{ cause: "publish", lost: 1 }])
      expect(c.counters).toEqual({ published: 41, dropped: 1 })
      expect(problems("t")).toEqual([])
    })
  )
})
