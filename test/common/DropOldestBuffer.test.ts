import { describe, expect, it } from "vitest"
import { DropOldestBuffer } from "../../src/common/DropOldestBuffer.js"
import { CALLER } from "../../src/domain/Limits.js"

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe("BoundedBuffer", () => {
  it("gives everything in order, and is empty afterwards", () => {
    const buffer = new DropOldestBuffer<number>(() => {}, CALLER.READER_ITEMS, CALLER.READER_BYTES)
    for (const n of numbers(1, 500)) buffer.offer(n, 1)
    expect(buffer.takeAll()).toEqual({ items: numbers(1, 500), missed: 0 })
    expect(buffer.takeAll()).toEqual({ items: [], missed: 0 })
  })

  it("wakes its reader once for each time it stops being empty", () => {
    let woken = 0
    const buffer = new DropOldestBuffer<number>(() => (woken += 1), CALLER.READER_ITEMS, CALLER.READER_BYTES)
    for (const n of numbers(1, 3000)) buffer.offer(n, 1)
    expect(woken).toBe(1)
    buffer.takeAll()
    buffer.offer(1, 1)
    expect(woken).toBe(2)
  })

  it("beyond its items the oldest go, counted, at every length", () => {
    for (const length of [16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 50_000, 200_000]) {
      const buffer = new DropOldestBuffer<number>(() => {}, CALLER.READER_ITEMS, CALLER.READER_BYTES)
      for (const n of numbers(1, length)) buffer.offer(n, 1)
      const kept = Math.min(length, 16_384)
      expect(buffer.size).toBe(kept)
      expect(buffer.takeAll()).toEqual({ items: numbers(length - kept + 1, length), missed: length - kept })
    }
  })

  it("beyond its bytes the oldest go, whatever their sizes", () => {
    const buffer = new DropOldestBuffer<number>(() => {}, 1000, 100)
    for (const n of numbers(1, 50)) buffer.offer(n, n)
    // 50 + 49 = 99 bytes; 48 more would be too many
    expect(buffer.takeAll()).toEqual({ items: [49, 50], missed: 48 })
    for (const n of numbers(1, 10)) buffer.offer(n, 10)
    expect(buffer.takeAll()).toEqual({ items: numbers(1, 10), missed: 0 })
  })

  it("keeps the newest item even where it alone is over the bound", () => {
    const buffer = new DropOldestBuffer<string>(() => {}, 10, 100)
    buffer.offer("small", 1)
    buffer.offer("huge", 1000)
    expect(buffer.takeAll()).toEqual({ items: ["huge"], missed: 1 })
  })

  it("says beforehand whether a batch goes in without a drop", () => {
    const buffer = new DropOldestBuffer<number>(() => {}, 10, 100)
    expect(buffer.hasRoom(11, 1000)).toBe(true)
    buffer.offer(1, 60)
    expect([buffer.hasRoom(9, 40), buffer.hasRoom(10, 40), buffer.hasRoom(9, 41)]).toEqual([true, false, false])
  })
})
