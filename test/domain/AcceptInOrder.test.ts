import { describe, expect, it } from "vitest"
import * as FastCheck from "effect/FastCheck"
import { acceptInOrder, type InOrder } from "../../src/domain/AcceptInOrder.js"
import { encode, type TopicEvent } from "../../src/domain/CloudEvent.js"
import { gapAttributes, type GapCause, LifecycleEvent } from "../../src/domain/ConnectionEvent.js"
import { Frame, FramePack, type FrameOrigin } from "../../src/domain/Frame.js"
import * as Index from "../../src/index.js"

const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 6)
const origin = (epoch = 1, connectionId = "c", textContentType = "text/plain"): FrameOrigin => ({
  connectionId,
  connectionUrl: "wss://peer/feed",
  instanceId: "i",
  epoch,
  textContentType
})
const frame = (sequence: number, epoch = 1, connectionId = "c") =>
  new Frame(origin(epoch, connectionId), sequence, AT, false, Buffer.from(`${epoch}:${sequence}`))
const pack = (from: number, to: number, epoch = 1) =>
  new FramePack(
    origin(epoch),
    Array.from({ length: to - from + 1 }, (_, i) => frame(from + i, epoch))
  )
const gap = (
  cause: GapCause,
  last: readonly [number, number],
  first: readonly [number, number],
  lost: number | "unknown"
) => {
  const [l, f] = [last, first].map(([epoch, sequence]) => ({ epoch, sequence, at: AT }))
  return new LifecycleEvent("gap", "c", "i", f!.epoch, AT, gapAttributes(cause, l!, f!, lost), "id")
}
/** What a consumer gets of these events, frames by their text. */
const feed = (inOrder: InOrder, ...events: ReadonlyArray<TopicEvent>) =>
  events.flatMap((event) => inOrder.accept(encode(event)).frames.map(({ data }) => data))

describe("acceptInOrder", () => {
  it("is part of the public surface", () => {
    expect(Index.acceptInOrder).toBe(acceptInOrder)
  })

  it("lets each frame through once, in order, singly and packed, of each connection apart", () => {
    const inOrder = acceptInOrder()
    const events = [frame(1), frame(1), pack(1, 3), frame(2), frame(3, 1, "other"), pack(3, 4), frame(4)]
    expect(feed(inOrder, ...events)).toEqual(["1:1", "1:2", "1:3", "1:3", "1:4"])
    expect(inOrder.accept(encode(pack(3, 4)))).toEqual({
      frames: [],
      dropped: 2,
      gaps: [],
      report: undefined,
      explained: [],
      lifecycle: undefined
    })
  })

  it("drops what a fenced owner still publishes", () => {
    expect(feed(acceptInOrder(), frame(7), frame(1, 2), frame(8), pack(9, 11), frame(2, 2))).toEqual([
      "1:7",
      "2:1",
      "2:2"
    ])
  })

  it("gives a frame's position, its arrival, text as a string and bytes as bytes", () => {
    const binary = new Frame(origin(), 3, AT + 2, true, Buffer.from([0, 255]))
    const json = new Frame(
      origin(1, "c", "application/json"),
      2,
      AT + 1,
      false,
      Buffer.from('{"n":12345678901234567890}')
    )
    const inOrder = acceptInOrder()
    const all = [frame(1), json, new FramePack(origin(), [binary, frame(4)])].flatMap(
      (e) => inOrder.accept(encode(e)).frames
    )
    expect(all).toEqual([
      { connectionId: "c", epoch: 1, sequence: 1, receivedAt: AT, data: "1:1" },
      { connectionId: "c", epoch: 1, sequence: 2, receivedAt: AT + 1, data: '{"n":12345678901234567890}' },
      { connectionId: "c", epoch: 1, sequence: 3, receivedAt: AT + 2, data: Buffer.from([0, 255]) },
      { connectionId: "c", epoch: 1, sequence: 4, receivedAt: AT, data: "1:4" }
    ])
  })

  it("takes events as text, as bytes, as objects, and as Dapr's gRPC API hands them over", () => {
    const json = encode(frame(1))
    const { data, datacontenttype, id, source, specversion, type, ...extensions } = JSON.parse(json) as Record<
      string,
      string
    >
    const grpc = {
      id,
      source,
      type,
      specVersion: specversion,
      dataContentType: datacontenttype,
      data: Buffer.from(data!),
      extensions
    }
    for (const event of [json, Buffer.from(json), JSON.parse(json) as object, grpc]) {
      expect(acceptInOrder().accept(event).frames).toEqual([
        { connectionId: "c", epoch: 1, sequence: 1, receivedAt: AT, data: "1:1" }
      ])
    }
    const packed = JSON.parse(encode(pack(1, 2))) as { data: unknown }
    for (const data of [packed.data, JSON.stringify(packed.data), Buffer.from(JSON.stringify(packed.data))]) {
      expect(
        acceptInOrder()
          .accept({ ...packed, data })
          .frames.map((f) => f.data)
      ).toEqual(["1:1", "1:2"])
    }
  })

  it("reports a hole with its size, and what came before a new epoch as unknown", () => {
    const inOrder = acceptInOrder()
    expect(inOrder.accept(encode(frame(5))).gaps).toEqual([])
    expect(inOrder.accept(encode(pack(8, 9))).gaps).toEqual([
      {
        connectionId: "c",
        kind: "hole",
        after: { epoch: 1, sequence: 5 },
        before: { epoch: 1, sequence: 8 },
        missing: 2,
        explainedBy: []
      }
    ])
    const holed = new FramePack(origin(), [frame(10), frame(12), frame(15)])
    expect(inOrder.accept(encode(holed)).gaps.map(({ before, missing }) => [before.sequence, missing])).toEqual([
      [12, 1],
      [15, 2]
    ])
    expect(inOrder.accept(encode(frame(3, 2))).gaps).toMatchObject([{ kind: "epoch", missing: "unknown" }])
  })

  it("says which gap events explain a gap, whichever comes first", () => {
    const reportFirst = acceptInOrder()
    feed(reportFirst, frame(1))
    expect(reportFirst.accept(encode(gap("overflow", [1, 1], [1, 4], 2)))).toMatchObject({
      report: { connectionId: "c", cause: "overflow", lost: 2, last: { epoch: 1, sequence: 1 } },
      explained: [],
      lifecycle: "gap"
    })
    expect(reportFirst.accept(encode(frame(4))).gaps).toMatchObject([
      { missing: 2, explainedBy: [{ cause: "overflow" }] }
    ])

    const gapFirst = acceptInOrder()
    feed(gapFirst, frame(1), frame(3), frame(5))
    const { explained } = gapFirst.accept(encode(gap("publish", [1, 1], [1, 5], 2)))
    expect(explained.map(({ before, explainedBy, missing }) => [before.sequence, missing, explainedBy.length])).toEqual(
      [
        [3, 1, 1],
        [5, 1, 1]
      ]
    )
  })

  it("does not take a report of something else for an explanation", () => {
    for (const other of [gap("reconnect", [1, 1], [1, 2], "unknown"), gap("overflow", [1, 4], [1, 7], 2)]) {
      const inOrder = acceptInOrder()
      feed(inOrder, frame(1))
      inOrder.accept(encode(other))
      expect(inOrder.accept(encode(frame(4))).gaps).toMatchObject([{ missing: 2, explainedBy: [] }])
    }
  })

  it("a takeover explains a new epoch, also when it speaks of an older position", () => {
    const inOrder = acceptInOrder()
    feed(inOrder, frame(9))
    inOrder.accept(encode(gap("takeover", [1, 4], [2, 1], "unknown")))
    expect(inOrder.accept(encode(frame(1, 2))).gaps).toMatchObject([
      { kind: "epoch", explainedBy: [{ cause: "takeover" }] }
    ])
  })

  it("names lifecycle events, and leaves events of others alone", () => {
    const inOrder = acceptInOrder()
    expect(inOrder.accept(encode(new LifecycleEvent("connected", "c", "i", 1, AT, {}, "id"))).lifecycle).toBe(
      "connected"
    )
    for (const event of [{}, { type: "order.created", data: 1 }, "[]", "null"]) {
      expect(inOrder.accept(event)).toMatchObject({ frames: [], gaps: [], lifecycle: undefined })
    }
    expect(() => inOrder.accept("{")).toThrow()
    expect(inOrder.positions().size).toBe(0)
  })

  it("goes on after a restart where it was", () => {
    const before = acceptInOrder()
    feed(before, frame(1), pack(2, 6), frame(3, 1, "d"))
    const after = acceptInOrder({ from: before.positions() })
    expect(feed(after, pack(2, 6), frame(3, 1, "d"), frame(7))).toEqual(["1:7"])
  })

  it("forgets idle connections where it is told to, and one on request", () => {
    let now = 0
    const inOrder = acceptInOrder({ forgetAfterMillis: 1000, now: () => now })
    for (let n = 0; n < 100; n++) feed(inOrder, frame(1, 1, `idle ${n}`))
    for (now = 0; now <= 2000; now += 100) feed(inOrder, frame(1 + now))
    expect([...inOrder.positions().keys()]).toEqual(["c"])
    inOrder.forget("c")
    expect(inOrder.positions().size).toBe(0)
  })

  it("whatever comes in whatever order, what goes on grows strictly and misses nothing that it does not report", () => {
    const arrival = FastCheck.tuple(FastCheck.integer({ min: 1, max: 3 }), FastCheck.integer({ min: 1, max: 12 }))
    FastCheck.assert(
      FastCheck.property(FastCheck.array(arrival, { minLength: 1, maxLength: 60 }), (arrivals) => {
        const inOrder = acceptInOrder()
        const results = arrivals.map(([epoch, sequence]) => inOrder.accept(encode(frame(sequence, epoch))))
        const taken = results.flatMap(({ frames }) => frames)
        const missing = results.flatMap(({ gaps }) => gaps)
        for (const [i, { epoch, sequence }] of taken.entries()) {
          const last = taken[i - 1]
          if (last === undefined) continue
          expect(epoch > last.epoch || (epoch === last.epoch && sequence > last.sequence)).toBe(true)
          const told = missing.some((g) => g.before.epoch === epoch && g.before.sequence === sequence)
          expect(told).toBe(epoch !== last.epoch || sequence !== last.sequence + 1)
        }
        expect(taken.length + results.reduce((sum, { dropped }) => sum + dropped, 0)).toBe(arrivals.length)
      })
    )
  })
})
