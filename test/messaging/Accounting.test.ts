import { describe, expect, it } from "vitest"
import { encode } from "../../src/domain/CloudEvent.js"
import { gapAttributes, LifecycleEvent } from "../../src/domain/ConnectionEvent.js"
import { Frame, FramePack, type FrameOrigin } from "../../src/domain/Frame.js"
import { Accounting, type AccountingOptions } from "../support/Accounting.js"

const origin = (epoch: number): FrameOrigin => ({
  connectionId: "c",
  connectionUrl: "ws://peer",
  instanceId: "i",
  epoch,
  textContentType: "text/plain"
})
const frame = (sequence: number, content = String(sequence), epoch = 1) =>
  new Frame(origin(epoch), sequence, 0, false, Buffer.from(content))
const judge = (
  sent: ReadonlyArray<string>,
  received: ReadonlyArray<Parameters<Accounting["received"]>[0]>,
  options: AccountingOptions = {}
) => {
  const accounting = new Accounting(options)
  for (const payload of sent) accounting.sent("c", payload)
  for (const event of received) accounting.received(event)
  return accounting.problems()
}
const at = { epoch: 1, sequence: 1, at: 0 }
const gap = (lost: number | "unknown") =>
  new LifecycleEvent("gap", "c", "i", 1, 0, gapAttributes("overflow", at, at, lost), "id")

describe("the judge", () => {
  it("is content with everything once or more, in order, over epochs, packs and JSON", () => {
    const pack = new FramePack(origin(1), [frame(2), frame(3)])
    const next = frame(1, "4", 2)
    expect(judge(["1", "2", "3", "4"], [frame(1), frame(1), pack, pack, next])).toEqual([])
    expect(judge(["1", "2", "3", "4"], [frame(1), pack, next].map(encode))).toEqual([])
  })

  it("sees a frame that is missing, unless it was reported", () => {
    expect(judge(["1", "2", "3"], [frame(1), frame(3)])).toHaveLength(1)
    expect(judge(["1", "2", "3"], [frame(1), frame(3), gap(1)])).toEqual([])
    expect(judge(["1", "2", "3"], [frame(1), frame(3), encode(gap("unknown"))])).toEqual([])
    expect(judge(["1", "2", "3"], [frame(1), frame(2), frame(3), gap(1)])).toHaveLength(1)
  })

  it("sees a frame that arrives first behind a later one", () => {
    expect(judge(["1", "2"], [frame(2), frame(1)])).toEqual(["c: 1:1 arrived behind 1:2"])
    expect(judge(["1", "2"], [frame(2), frame(1), frame(2)])).toHaveLength(1)
    expect(judge(["1", "2"], [frame(2), frame(1), frame(2)], { behindRepeats: true })).toEqual([])
    expect(judge(["1", "2"], [frame(2), frame(1)], { behindRepeats: true })).toHaveLength(1)
    expect(judge(["1", "2"], [frame(1, "1", 2), frame(2)])).not.toEqual([])
  })

  it("sees other bytes and frames that nobody sent", () => {
    expect(judge(["1", "2"], [frame(1), frame(2, "x")])).toHaveLength(1)
    expect(judge(["1"], [frame(1), frame(1, "x")])).not.toEqual([])
    expect(judge(["1"], [frame(1), frame(2)])).toHaveLength(1)
    expect(judge(["1", "2"], [frame(1, "2"), frame(2, "1")])).toHaveLength(1)
  })
})
