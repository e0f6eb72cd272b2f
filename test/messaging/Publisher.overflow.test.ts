import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { advance, bench, settle } from "./publisherBench.js"

const MiB = 1024 * 1024

describe("overflow PAUSE", () => {
  it.scoped("pauses once at the limit, keeps what still comes, and resumes once at half", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench({ settings: { publishBatch: 4 } })
      bus.slow.set("t", Duration.millis(10))
      const c = connect("c", { buffer: { maxFrames: 10 } })
      c.receiveMany(9)
      expect(c.pauses).toBe(0)
      c.receive()
      expect(c.pauses).toBe(1)
      c.receiveMany(300)
      expect(c.lane.pendingFrames()).toBe(310)
      while (c.lane.pendingFrames() > 0) {
        expect(c.paused).toBe(c.lane.pendingFrames() > 5)
        yield* advance("10 millis")
      }
      expect(c).toMatchObject({ pauses: 1, resumes: 1, counters: { published: 310, dropped: 0 }, gaps: [] })
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("pauses at the limit of bytes, and takes a single frame that is larger than all", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench()
      bus.unavailable = true
      const c = connect("c", { buffer: { maxBytes: 1000 } })
      c.receiveMany(9, "x".repeat(100))
      expect(c.paused).toBe(false)
      c.receive("x".repeat(100))
      expect(c.paused).toBe(true)
      const big = connect("big", { buffer: { maxBytes: 1000 } })
      big.receive("y".repeat(5000))
      expect(big.paused).toBe(true)
      bus.heal()
      yield* advance("1 second")
      expect([c.paused, big.paused]).toEqual([false, false])
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("a limit of one frame pauses at each frame", () =>
    Effect.gen(function* () {
      const { connect, problems } = yield* bench()
      const c = connect("c", { buffer: { maxFrames: 1 } })
      for (let i = 1; i <= 3; i++) {
        c.receive()
        expect(c.paused).toBe(true)
        yield* settle
        expect(c).toMatchObject({ paused: false, pauses: i, resumes: i })
      }
      expect(problems("t")).toEqual([])
    })
  )
})

describe("overflow DROP_OLDEST", () => {
  it.scoped("keeps the newest by count, counts the rest, and reports them between two positions", () =>
    Effect.gen(function* () {
      const { arrived, bus, connect, metric, problems } = yield* bench()
      const c = connect("c", { buffer: { maxFrames: 10, overflow: "drop-oldest" } })
      c.receiveMany(5)
      yield* settle
      bus.unavailable = true
      yield* advance("1 second")
      c.receiveMany(35)
      yield* settle
      bus.heal()
      yield* advance("10 seconds")
      expect(arrived()).toEqual([1, 2, 3, 4, 5, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40])
      expect(c.counters).toEqual({ published: 15, dropped: 25 })
      expect(c.gaps).toMatchObject([
        {
          cause: "overflow",
          last: { epoch: 1, sequence: 5, at: 0 },
          first: { epoch: 1, sequence: 31, at: 1000 },
          lost: 25
        }
      ])
      expect(c.pauses).toBe(0)
      expect(metric("frames_dropped_total", "overflow")).toBe(25)
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("keeps the newest by bytes, and a frame larger than all is kept alone", () =>
    Effect.gen(function* () {
      const { arrived, connect, problems } = yield* bench()
      const c = connect("c", { buffer: { maxBytes: 1000, overflow: "drop-oldest" } })
      c.receiveMany(20, "x".repeat(300))
      const big = connect("big", { buffer: { maxBytes: 1000, overflow: "drop-oldest" }, topic: "big" })
      big.receiveMany(3)
      big.receive("y".repeat(5000))
      yield* settle
      expect(arrived()).toEqual([18, 19, 20])
      expect(arrived("big")).toEqual([4])
      expect(c.gaps[0]).toMatchObject({ last: { sequence: 0 }, first: { sequence: 18 }, lost: 17 })
      expect(problems("t", "big")).toEqual([])
    })
  )

  it.scoped("drops nothing that is in a request, and never the newest", () =>
    Effect.gen(function* () {
      const { arrived, bus, connect, problems } = yield* bench()
      bus.unavailable = true
      const c = connect("c", { buffer: { maxFrames: 4, overflow: "drop-oldest" } })
      c.receiveMany(4)
      yield* settle
      c.receiveMany(10)
      bus.heal()
      yield* advance("10 seconds")
      expect(arrived()).toEqual([1, 2, 3, 4, 14])
      expect(problems("t")).toEqual([])
    })
  )
})

describe("overflow DROP_NEWEST", () => {
  it.scoped("keeps the oldest by count and by bytes, and reports up to the next frame that is taken", () =>
    Effect.gen(function* () {
      const { arrived, bus, connect, problems } = yield* bench()
      bus.unavailable = true
      const c = connect("c", { buffer: { maxFrames: 10, overflow: "drop-newest" } })
      c.receiveMany(25)
      const b = connect("b", { buffer: { maxBytes: 1000, overflow: "drop-newest" }, topic: "bytes" })
      b.receiveMany(5, "x".repeat(300))
      yield* settle
      bus.heal()
      yield* advance("500 millis")
      c.receive()
      b.receive("y".repeat(5000))
      yield* advance("2 seconds")
      expect(arrived()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 26])
      expect(arrived("bytes")).toEqual([1, 2, 3, 6])
      // told before the next frame came: its sequence is known, its time is not
      expect(c.gaps).toMatchObject([{ last: { sequence: 10 }, first: { sequence: 26, at: 0 }, lost: 15 }])
      expect(problems("t", "bytes")).toEqual([])
    })
  )
})

describe("the position after a loss", () => {
  it.scoped("is that of the next frame that was taken, and the one before is that before the first loss", () =>
    Effect.gen(function* () {
      const { connect } = yield* bench()
      const c = connect("c", { buffer: { maxFrames: 5, overflow: "drop-newest" } })
      c.receiveMany(6)
      yield* advance("100 millis")
      expect(c.gaps.length).toBe(1)
      c.receiveMany(7)
      yield* advance("100 millis")
      c.receiveMany(8)
      yield* advance("100 millis")
      c.receive()
      yield* advance("1 second")
      expect(c.gaps.slice(1)).toMatchObject([{ last: { sequence: 11 }, first: { sequence: 22, at: 300 }, lost: 5 }])
    })
  )
})

describe("the buffers of an instance together", () => {
  it.scoped("a paused connection with little of its own goes on when others have made room", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench({ settings: { bufferMaxBytes: MiB, publishBatch: 5 } })
      bus.slow.set("t", Duration.millis(10))
      const greedy = connect("greedy", { topic: "other" })
      greedy.may = false
      greedy.receiveMany(7, "x".repeat(MiB / 4))
      const c = connect("c")
      c.receiveMany(10)
      yield* advance("10 millis")
      expect([c.lane.pendingFrames(), c.paused]).toEqual([5, true])
      greedy.lane.discard()
      expect(c.paused).toBe(false)
    })
  )

  it.scoped("above the limit each connection that buffers counts as full, and goes on when there is room", () =>
    Effect.gen(function* () {
      const { bus, connect, problems, publisher } = yield* bench({ settings: { bufferMaxBytes: 2 * MiB } })
      bus.unavailable = true
      const big = connect("big")
      const small = connect("small")
      const late = connect("late")
      const drops = connect("drops", { buffer: { overflow: "drop-newest" } })
      small.receiveMany(2)
      drops.receive()
      big.receiveMany(2, "x".repeat(MiB))
      expect([big.paused, small.paused]).toEqual([false, false])
      small.receive()
      big.receive("x".repeat(MiB))
      drops.receive()
      expect([big.paused, small.paused]).toEqual([true, true])
      // one that buffers nothing may bring a frame
      late.receive()
      expect(late.paused).toBe(false)
      late.receive()
      expect(late.paused).toBe(true)
      expect(publisher.waiting()).toMatchObject({ frames: 9 })
      bus.heal()
      yield* advance("5 seconds")
      expect([big, small, late].map((c) => [c.pauses, c.resumes])).toEqual([
        [1, 1],
        [1, 1],
        [1, 1]
      ])
      expect(drops.counters).toEqual({ published: 1, dropped: 1 })
      expect(publisher.waiting()).toEqual({ frames: 0, bytes: 0 })
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("a connection whose own topic is well goes on although another holds the memory", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench({ settings: { bufferMaxBytes: MiB } })
      bus.hanging.add("hanging")
      connect("greedy", { topic: "hanging" }).receiveMany(3, "x".repeat(MiB))
      const c = connect("c")
      for (let i = 1; i <= 5; i++) {
        c.receiveMany(10)
        expect(c.paused).toBe(true)
        yield* settle
        expect(c.paused).toBe(false)
        expect(c.counters.published).toBe(i * 10)
      }
    })
  )

  it.scoped("many small frames count as memory too", () =>
    Effect.gen(function* () {
      const { bus, connect } = yield* bench({ settings: { bufferMaxBytes: MiB } })
      bus.unavailable = true
      const c = connect("c", { buffer: { maxFrames: 1_000_000 } })
      c.receiveMany(100_000, "x")
      expect(c.paused).toBe(true)
    })
  )
})

describe("gaps", () => {
  it.scoped("are told at most once a second for each cause, and add up", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench()
      bus.unavailable = true
      const c = connect("c", { buffer: { maxFrames: 5, overflow: "drop-oldest" } })
      c.receiveMany(5)
      for (let i = 0; i < 100; i++) {
        c.receiveMany(3)
        yield* advance("100 millis")
      }
      bus.heal()
      yield* advance("10 seconds")
      const times = c.gaps.map(({ at }) => at)
      expect(times.length).toBeGreaterThanOrEqual(9)
      expect(times.length).toBeLessThanOrEqual(11)
      expect(times.every((at, i) => i === 0 || at - times[i - 1]! >= 1000)).toBe(true)
      expect(c.gaps.reduce((sum, { lost }) => sum + lost, 0)).toBe(c.counters.dropped)
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("are told once more at the end of the lane", () =>
    Effect.gen(function* () {
      const { connect, problems } = yield* bench()
      const c = connect("c", { buffer: { maxFrames: 5, overflow: "drop-newest" } })
      c.receiveMany(8)
      yield* settle
      c.receiveMany(9)
      c.lane.close()
      yield* settle
      expect(c.gaps.map(({ lost }) => lost)).toEqual([3, 4])
      expect(c.gaps[1]).toMatchObject({ last: { sequence: 13 }, first: { sequence: 18, at: 0 } })
      yield* advance("5 seconds")
      expect(c.gaps.length).toBe(2)
      expect(problems("t")).toEqual([])
    })
  )

  it.scoped("overflow and publish are told beside each other", () =>
    Effect.gen(function* () {
      const { bus, connect, problems } = yield* bench()
      bus.failEntry = (event) => (event.kind === "frame" && event.sequence === 9 ? { transient: false } : undefined)
      const c = connect("c", { buffer: { maxFrames: 5, overflow: "drop-oldest" } })
      c.receiveMany(10)
      yield* settle
      expect(c.gaps.map(({ cause, lost }) => [cause, lost])).toEqual([
        ["overflow", 5],
        ["publish", 1]
      ])
      expect(problems("t")).toEqual([])
    })
  )
})
