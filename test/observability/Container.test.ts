import { describe, expect, it } from "vitest"
import { limitOf, needed } from "../../src/observability/Container.js"

const MIB = 1024 * 1024
const usage = (rss: number, heapUsed: number, external: number) => ({
  rss: rss * MIB,
  heapUsed: heapUsed * MIB,
  external: external * MIB
})
const began = usage(90, 25, 5)
const counts = (rss: number, heapUsed: number, external: number) => needed(usage(rss, heapUsed, external), began) / MIB

describe("what counts against a container's limit", () => {
  it("is all that is resident, while it is held: in the heap or in buffers", () => {
    expect(counts(440, 300, 60)).toBe(440)
    expect(counts(440, 40, 320)).toBe(440)
    expect(counts(90, 25, 5)).toBe(90)
  })
  it("is little again after a peak, though resident memory has not become less", () => {
    expect(counts(500, 40, 8)).toBe(60 + 48 * 1.125)
  })
  it("is never more than is resident: what is held may not have been touched", () => {
    expect(counts(100, 30, 900)).toBe(100)
  })
  it("where resident memory was mostly held at the beginning, is what is held now", () => {
    expect(needed(usage(500, 80, 0), usage(100, 100, 20)) / MIB).toBe(90)
  })
})

describe("a container's limit", () => {
  it("is one only where it is less than the machine has", () => {
    expect(limitOf(512, 4096)).toBe(512)
    for (const none of [0, 4096, 9_223_372_036_854_771_712, 2 ** 64]) expect(limitOf(none, 4096)).toBe(Infinity)
  })
})
