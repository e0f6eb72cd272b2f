import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { eventId, type TopicEvent } from "../../src/domain/CloudEvent.js"
import { LifecycleEvent } from "../../src/domain/ConnectionEvent.js"
import { advance, bench, settle } from "./publisherBench.js"

const packs = (events: ReadonlyArray<TopicEvent>): ReadonlyArray<ReadonlyArray<number>> =>
  events.map((event) => (event.kind === "frames" ? event.frames.map(({ sequence }) => sequence) : []))
const upTo = (n: number, from = 1) => Array.from({ length: n }, (_, i) => from + i)

describe.each([true, false])("packed (a bus ordered inside a batch: %s)", (orderedWithinBatch) => {
  it.scoped("many frames of a connection share one event, in order", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench({ orderedWithinBatch })
      const c = connect("c", { publishing: { packed: true, maxFrames: 100 } })
      c.receiveMany(250)
      yield* advance("5 millis")
      expect(
        packs(bus.eventsOf("t"))
          .map(({ length }) => length)
          .sort()
      ).toEqual([100, 100, 50].sort())
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("a pack that failed is repeated unchanged, although more has come", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench({ orderedWithinBatch })
      bus.unavailable = true
      const c = connect("c", { publishing: { packed: true, lingerMs: 0 } })
      c.receiveMany(3)
      yield* settle
      c.receiveMany(3)
      yield* settle
      bus.heal()
      yield* advance("1 second")
      expect(packs(bus.eventsOf("t"))).toEqual([
        [1, 2, 3],
        [4, 5, 6]
      ])
      const [first, second] = bus.batches.map(({ events }) => events[0]!)
      expect(first).toBe(second)
      expect(eventId(first!)).toBe("c:1:1-3")
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("a pack that is refused for good is dropped, and its frames are counted", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench({ orderedWithinBatch })
      bus.failEntry = (event) =>
        event.kind === "frames" && event.frames[0]!.sequence === 11 ? { transient: false } : undefined
      const c = connect("c", { publishing: { packed: true, maxFrames: 10 } })
      c.receiveMany(30)
      yield* advance("5 millis")
      expect(c.counters).toEqual({ published: 20, dropped: 10 })
      expect(c.gaps).toMatchObject([{ cause: "publish", last: { sequence: 10 }, first: { sequence: 21 }, lost: 10 }])
      expect(problems("t")).toEqual([])
    })
  )
})

describe("packed", () => {
  it.scoped("a frame waits at most the linger for company, and a full pack does not wait", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench()
      const c = connect("c", { publishing: { packed: true, maxFrames: 4, lingerMs: 50 } })
      c.receive()
      yield* advance("30 millis")
      c.receive()
      yield* advance("19 millis")
      expect(bus.eventsOf("t")).toEqual([])
      yield* advance("1 millis")
      expect(packs(bus.eventsOf("t"))).toEqual([[1, 2]])
      c.receiveMany(4)
      yield* settle
      expect(packs(bus.eventsOf("t"))).toEqual([
        [1, 2],
        [3, 4, 5, 6]
      ])
    })
  )

  it.scoped("bytes of frames bound a pack, and a frame above the bound goes alone", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench()
      const c = connect("c", { publishing: { packed: true, maxBytes: 1000 } })
      for (const size of [400, 400, 400, 5000, 1, 999, 1]) c.receive("x".repeat(size))
      yield* advance("5 millis")
      expect(packs(bus.eventsOf("t"))).toEqual([[1, 2], [3], [4], [5, 6], [7]])
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("a pack holds frames of one epoch", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench()
      const c = connect("c", { publishing: { packed: true } })
      c.receiveMany(2)
      const next = { ...c.origin, epoch: 2 }
      c.receive("x", next)
      c.receive("y", next)
      yield* advance("5 millis")
      expect(packs(bus.eventsOf("t"))).toEqual([
        [1, 2],
        [3, 4]
      ])
    })
  )

  it.scoped("a pack surely fits into what the bus takes", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench({ maxEventBytes: 256 * 1024 })
      const c = connect("c", { publishing: { packed: true } })
      c.receiveMany(200, "\u0001".repeat(1000))
      yield* advance("5 millis")
      for (const event of bus.eventsOf("t")) {
        expect(event.kind === "frames" && event.frames.length * 6000 < 256 * 1024).toBe(true)
      }
      expect(c.counters.published).toBe(200)
    })
  )

  it.scoped("what waits for company goes at once when the lane is closed", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench()
      const c = connect("c", { publishing: { packed: true, lingerMs: 10_000 } })
      c.receive()
      c.lane.close()
      yield* settle
      expect(packs(bus.eventsOf("t"))).toEqual([[1]])
    })
  )
})

describe("the lease", () => {
  it.scoped("is asked before each request and each repetition; frames wait while it is lost", () =>
    Effect.gen(function* () {
      const { arrived, bus, connect, problems } = yield* bench()
      bus.unavailable = true
      const c = connect("c")
      const other = connect("other")
      c.receiveMany(3)
      other.receive()
      yield* settle
      c.may = false
      bus.heal()
      yield* advance("5 seconds")
      expect(other.counters.published).toBe(1)
      expect(c.counters.published).toBe(0)
      c.receive()
      c.may = true
      yield* advance("100 millis")
      expect(c.counters.published).toBe(4)
      expect(arrived().length).toBe(5)
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("once lost for good, what waits is dropped, counted, and never published", () =>
    Effect.gen(function* () {
      const { arrived, bus, connect, metric, publisher } = yield* bench()
      const c = connect("c")
      c.receiveMany(2)
      yield* settle
      bus.unavailable = true
      c.receiveMany(120)
      yield* settle
      c.may = false
      expect(c.lane.discard()).toBe(120)
      expect(c.lane.discard()).toBe(0)
      c.receive()
      bus.heal()
      c.may = true
      yield* advance("1 minute")
      expect(arrived()).toEqual([1, 2])
      expect(c.counters).toEqual({ published: 2, dropped: 121 })
      expect(c.lane.lastPublished()).toMatchObject({ epoch: 1, sequence: 2 })
      expect(metric("frames_dropped_total", "lease")).toBe(121)
      expect(publisher.waiting()).toEqual({ frames: 0, bytes: 0 })
    })
  )

  it.scoped("what is in a request while it is discarded counts as what became of it", () =>
    Effect.gen(function* () {
      const { bus, connect, publisher } = yield* bench()
      bus.slow.set("t", Duration.millis(10))
      const taken = connect("taken")
      const failed = connect("failed")
      bus.failEntry = (event) =>
        event.kind === "frame" && event.origin.connectionId === "failed" ? { transient: true } : undefined
      taken.receive()
      failed.receive()
      yield* settle
      taken.receive()
      expect([taken.lane.discard(), failed.lane.discard()]).toEqual([1, 0])
      yield* advance("1 minute")
      expect(taken.counters).toEqual({ published: 1, dropped: 1 })
      expect(failed.counters).toEqual({ published: 0, dropped: 1 })
      expect(publisher.waiting().frames).toBe(0)
    })
  )
})

describe("the end of a lane", () => {
  it.scoped("what waits is still published, and drained tells when", () =>
    Effect.gen(function* () {
      const { arrived, bus, connect } = yield* bench()
      bus.slow.set("t", Duration.millis(10))
      const c = connect("c")
      c.receiveMany(150)
      c.lane.close()
      const drained = yield* Effect.fork(c.lane.drained)
      yield* advance("19 millis")
      expect(drained.unsafePoll()).toBeNull()
      yield* advance("1 millis")
      yield* Fiber.join(drained)
      expect(arrived()).toEqual(upTo(150))
      yield* c.lane.drained
    })
  )

  it.scoped("the next lane of the connection to the same topic goes after it", () =>
    Effect.gen(function* () {
      const { arrived, bus, connect } = yield* bench({ orderedWithinBatch: false })
      bus.unavailable = true
      const a = connect("c")
      a.receiveMany(3)
      a.lane.close()
      const b = connect("c")
      b.lane.close()
      const c = connect("c", { epoch: 2 })
      c.receiveMany(2)
      yield* settle
      bus.heal()
      yield* advance("1 minute")
      expect(arrived()).toEqual([1, 2, 3, 1, 2])
    })
  )

  it.scoped("flush waits until nothing waits, and no longer than told", () =>
    Effect.gen(function* () {
      const { bus, connect, publisher } = yield* bench()
      expect(yield* publisher.flush(Duration.seconds(1))).toBe(0)
      bus.slow.set("t", Duration.seconds(2))
      connect("c").receiveMany(7)
      publisher.announce(new LifecycleEvent("connected", "c", "i1", 1, 0, {}, "e1"))
      bus.slow.set("lifecycle", Duration.millis(1500))
      const early = yield* Effect.fork(publisher.flush(Duration.seconds(1)))
      const late = yield* Effect.fork(publisher.flush(Duration.seconds(10)))
      yield* advance("1 second")
      expect(yield* Fiber.join(early)).toBe(8)
      yield* advance("900 millis")
      expect(late.unsafePoll()).toBeNull()
      yield* advance("100 millis")
      expect(yield* Fiber.join(late)).toBe(0)
    })
  )
})

describe("lifecycle events", () => {
  const event = (connectionId: string, n: number) =>
    new LifecycleEvent("reconnecting", connectionId, "i1", 1, n, { attempt: String(n) }, `${connectionId}-${n}`)
  const ids = (events: ReadonlyArray<TopicEvent>) => events.map(eventId)

  it.scoped.each([true, false])("arrive in order per connection (a bus ordered inside a batch: %s)", (ordered) =>
    Effect.gen(function* () {
      const { bus, publisher } = yield* bench({ orderedWithinBatch: ordered })
      const attempts = new Map<string, number>()
      bus.failEntry = (event) => {
        const n = (attempts.get(eventId(event)) ?? 0) + 1
        attempts.set(eventId(event), n)
        return n === 1 && eventId(event).endsWith("-3") ? { transient: true } : undefined
      }
      for (let n = 1; n <= 5; n++) for (let c = 0; c < 20; c++) publisher.announce(event(`c${c}`, n))
      yield* advance("1 second")
      publisher.announce(event("c0", 6))
      yield* settle
      for (let c = 0; c < 20; c++) {
        const mine = ids(bus.eventsOf("lifecycle")).filter((id) => id.startsWith(`c${c}-`))
        // a bus that takes part of a batch has taken the later ones early; their repetition is in order
        const last = mine.slice(-(c === 0 ? 4 : 3))
        expect(last).toEqual([3, 4, 5, ...(c === 0 ? [6] : [])].map((n) => `c${c}-${n}`))
        expect(mine.slice(0, 2)).toEqual([`c${c}-1`, `c${c}-2`])
      }
    })
  )

  it.scoped("ten thousand wait while the broker is away; beyond, the oldest go and are counted", () =>
    Effect.gen(function* () {
      const { bus, metric, publisher } = yield* bench()
      bus.unavailable = true
      publisher.announce(event("first", 1))
      yield* settle
      for (let n = 1; n <= 10_500; n++) publisher.announce(event(`c${n % 7}`, n))
      bus.heal()
      yield* advance("10 seconds")
      const arrived = bus.eventsOf("lifecycle")
      expect(arrived.length).toBe(10_000)
      expect(metric("events_dropped_total")).toBe(501)
      // the first of all is in a request when the others come, so it stays
      expect(ids(arrived)).toContain("first-1")
      const rest = arrived.map((e) => (e.kind === "lifecycle" ? e.time : 0)).sort((a, b) => a - b)
      expect(rest.slice(0, 3)).toEqual([1, 502, 503])
    })
  )

  it.scoped("one that is refused for good is counted as dropped", () =>
    Effect.gen(function* () {
      const { bus, metric, publisher } = yield* bench()
      bus.failEntry = (e) => (eventId(e) === "c-1" ? { transient: false } : undefined)
      publisher.announce(event("c", 1))
      publisher.announce(event("c", 2))
      yield* settle
      expect(ids(bus.eventsOf("lifecycle"))).toEqual(["c-2"])
      expect(metric("events_dropped_total")).toBe(1)
    })
  )

  it.scoped("are published without a lease, and not at all without a topic", () =>
    Effect.gen(function* () {
      const { bus, publisher } = yield* bench({ settings: { lifecycleTopic: "" } })
      publisher.announce(event("c", 1))
      yield* settle
      expect(bus.batches).toEqual([])
      expect(yield* publisher.flush(Duration.zero)).toBe(0)
    })
  )
})

describe("metrics", () => {
  it.scoped("tell what waits, what was published and how long it took", () =>
    Effect.gen(function* () {
      const { bus, connect, metric } = yield* bench()
      bus.unavailable = true
      connect("c").receiveMany(3, "12345")
      yield* settle
      expect([metric("buffer_frames"), metric("buffer_bytes")]).toEqual([3, 15])
      expect(metric("publish_seconds", "failed")).toBe(1)
      bus.heal()
      yield* advance("1 second")
      expect([metric("buffer_frames"), metric("buffer_bytes")]).toEqual([0, 0])
      expect(metric("frames_published_total")).toBe(3)
      expect(metric("publish_seconds", "ok")).toBe(1)
    })
  )
})
