import { describe, expect, it } from "vitest"
import { Descriptors } from "../../src/observability/Descriptors.js"

const counted = (limit: number | undefined, open = 0) => {
  const state = { limit, open, now: 0, counts: 0 }
  const descriptors = new Descriptors({
    limit: () => state.limit,
    count: () => {
      state.counts += 1
      return state.open
    },
    now: () => state.now
  })
  /** Dials until it is refused, at most so many. */
  const dial = (most: number): number => {
    let n = 0
    while (n < most && descriptors.hasRoom(true)) {
      n += 1
      state.open += 1
    }
    return n
  }
  return { state, descriptors, dial }
}

describe("descriptors", () => {
  it.each([
    [64, 48],
    [256, 240],
    [1024, 960],
    [20_000, 18_976]
  ])("of %i, dials may use %i, and the rest stays free", (limit, most) => {
    const { dial, state } = counted(limit)
    expect(dial(30_000)).toBe(most)
    expect(state.open).toBe(most)
  })

  it("what others open and close meanwhile counts too, within a second", () => {
    const { descriptors, dial, state } = counted(1024, 900)
    expect(dial(1000)).toBe(60)
    state.open -= 10
    state.now += 1001
    expect(dial(1000)).toBe(10)
    state.open += 100
    expect(descriptors.hasRoom(false)).toBe(false)
  })

  it("a limit that is changed while the process runs holds", () => {
    const { descriptors, state } = counted(10_000, 300)
    expect(descriptors.hasRoom(true)).toBe(true)
    state.limit = 256
    state.now += 30_001
    expect(descriptors.hasRoom(true)).toBe(false)
  })

  it("are seldom counted while there is much room", () => {
    const { descriptors, state } = counted(100_000, 1000)
    for (let i = 0; i < 10_000; i++) {
      descriptors.hasRoom(true)
      state.now += 1
    }
    expect(state.counts).toBeLessThan(5)
  })

  it("refuse nothing where the platform does not tell", () => {
    const { dial } = counted(undefined)
    expect(dial(5000)).toBe(5000)
  })

  it("of this process are told", () => {
    const descriptors = new Descriptors()
    expect(descriptors.hasRoom(false)).toBe(true)
    expect(descriptors.limit).toBeGreaterThan(descriptors.reserve)
  })
})
