import { expect, it } from "vitest"
import { evictOldest } from "../../src/common/EvictOldest.js"

it("a set and a map keep what came last", () => {
  const set = new Set<string>()
  const map = new Map<string, number>()
  for (let i = 0; i < 5; i++) {
    evictOldest(set.add(`${i}`), 3)
    evictOldest(map.set(`${i}`, i), 3)
  }
  expect([...set]).toEqual(["2", "3", "4"])
  expect([...map]).toEqual([
    ["2", 2],
    ["3", 3],
    ["4", 4]
  ])
})
