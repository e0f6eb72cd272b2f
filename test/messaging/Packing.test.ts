/** Packs and batches under a limit: never over it, and full although a text may become six times as long. */
import { describe, expect, it } from "vitest"
import * as FastCheck from "effect/FastCheck"
import { Fifo } from "../../src/common/Fifo.js"
import { encode, encodedSize } from "../../src/domain/CloudEvent.js"
import { Frame, type FrameOrigin, FramePack } from "../../src/domain/Frame.js"
import { formPack } from "../../src/messaging/publish/FrameBuffer.js"
import { Batch } from "../../src/messaging/publish/Source.js"

const KIB = 1024
const origin: FrameOrigin = {
  connectionId: "0190b7a0-0000-7000-8000-000000000001",
  connectionUrl: "wss://example.com/feed",
  instanceId: "host-1",
  epoch: 1_800_000_000,
  textContentType: "text/plain"
}
const frame = (data: Buffer, sequence = 1, binary = false) =>
  new Frame(origin, sequence, 1_700_000_000_000, binary, data)
const packsOf = (frames: ReadonlyArray<Frame>, maxEventBytes: number) => {
  const queue = new Fifo<Frame>()
  for (const one of frames) queue.push(one)
  const packs: Array<ReadonlyArray<Frame>> = []
  while (queue.length > 0) packs.push(formPack(queue, 1000, Infinity, maxEventBytes))
  return packs
}

describe("a pack", () => {
  it("holds as much plain text as fits, not a sixth of it", () => {
    const frames = Array.from({ length: 40 }, (_, i) => frame(Buffer.alloc(100 * KIB, 0x61), i + 1))
    expect(packsOf(frames, 1024 * KIB).map((pack) => pack.length)).toEqual([9, 9, 9, 9, 4])
  })

  it("has each frame once, in order, and is over the limit only where one frame is", () => {
    const content = FastCheck.tuple(
      FastCheck.constantFrom("a", '"', "\u0001", "é", "😀"),
      FastCheck.integer({ min: 0, max: 12_000 }),
      FastCheck.boolean()
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.array(content, { minLength: 1, maxLength: 40 }), (contents) => {
        const frames = contents.map(([text, times, binary], i) => frame(Buffer.from(text.repeat(times)), i + 1, binary))
        const packs = packsOf(frames, 128 * KIB)
        expect(packs.flat()).toEqual(frames)
        for (const [i, pack] of packs.entries()) {
          const size = Buffer.byteLength(encode(new FramePack(origin, pack)))
          if (pack.length > 1) expect(size).toBeLessThanOrEqual(128 * KIB)
          const next = packs[i + 1]?.[0]
          // 64 KiB are kept for what stands around the frames
          if (next !== undefined) {
            expect(encodedSize(new FramePack(origin, [...pack, next])) + 70 * pack.length).toBeGreaterThan(64 * KIB)
          }
        }
      }),
      { numRuns: 50 }
    )
  })
})

describe("a batch", () => {
  it("takes large texts as long as they fit as encoded", () => {
    const batch = new Batch(100, 1024 * KIB)
    const one = frame(Buffer.alloc(300 * KIB, 0x61))
    expect([1, 2, 3, 4].map(() => batch.add(one))).toEqual([true, true, true, false])
    const alone = new Batch(100, 1024 * KIB)
    expect([frame(Buffer.alloc(2048 * KIB)), frame(Buffer.alloc(1))].map((f) => alone.add(f))).toEqual([true, false])
  })
})
