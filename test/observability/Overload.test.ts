import { describe, expect, it } from "vitest"
import { make } from "../../src/observability/Overload.js"

const levels = (readings: ReadonlyArray<readonly [percent: number, collected: boolean]>) => {
  const { level, read } = make()
  return readings.map(([percent, collected]) => {
    read(percent, collected)
    return level()
  })
}

describe("how full the heap is", () => {
  it("is judged by what a collection left, not by what it has not looked at yet", () => {
    expect(levels([[97, false], [90, false], [40, true]])).toEqual(["none", "none", "none"]) // prettier-ignore
    expect(levels([[84, true], [85, true], [95, true]])).toEqual(["none", "calls", "feeds"]) // prettier-ignore
  })
  it("is over once any reading is clearly below the mark", () => {
    expect(
      levels([
        [96, true],
        [93, false],
        [91, false],
        [84, false],
        [81, false],
        [90, false]
      ])
    ).toEqual(["feeds", "feeds", "calls", "calls", "none", "none"])
  })
  it("or its container, whichever is nearer to its limit", () => {
    const { level, nearest, read } = make()
    read(40, false, 96)
    expect(level()).toBe("none")
    read(40, true, 96)
    expect([level(), nearest()]).toEqual(["feeds", { percent: 96, of: "memory" }])
    read(90, false, 30)
    expect([level(), nearest()]).toEqual(["calls", { percent: 90, of: "heap" }])
    read(40, false, 30)
    expect(level()).toBe("none")
  })
})
