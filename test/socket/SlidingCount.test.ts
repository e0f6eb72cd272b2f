import { expect, it } from "vitest"
import { SlidingCount, WINDOW } from "../../src/socket/wire/SlidingCount.js"

const AT = 1_800_000_000_000

it("what was added counts for five seconds, and for a quarter of one more at most", () => {
  const count = new SlidingCount()
  for (const millis of [0, 100, 260]) count.add(AT + millis)
  expect(count.at(AT + WINDOW - 1)).toBe(3)
  expect(count.at(AT + WINDOW + 250)).toBe(1)
  expect(count.at(AT + WINDOW + 510)).toBe(0)
})

it("it tells when there will be fewer", () => {
  const count = new SlidingCount()
  expect(count.millisUntilBelow(1, AT)).toBe(0)
  for (const millis of [0, 1000, 2000]) count.add(AT + millis)
  expect(count.millisUntilBelow(4, AT + 2000)).toBe(0)
  for (const [limit, added] of [
    [3, 0],
    [2, 1000],
    [1, 2000]
  ] as const) {
    const now = AT + 2000
    const after = now + count.millisUntilBelow(limit, now)
    expect(after).toBeGreaterThanOrEqual(AT + added + WINDOW)
    expect(after).toBeLessThanOrEqual(AT + added + WINDOW + 250)
  }
  expect(count.at(AT + 2000 + count.millisUntilBelow(2, AT + 2000))).toBe(1)
})

it("a clock that is set back forgets within a window", () => {
  const count = new SlidingCount()
  for (let i = 0; i < 7; i++) count.add(AT + i * 300)
  const before = AT - 3_600_000
  expect(count.at(before)).toBe(7)
  count.add(before + 100)
  expect(count.at(before + WINDOW + 500)).toBe(0)
})
