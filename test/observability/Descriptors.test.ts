import { describe, expect, it } from "vitest"
import { Descriptors } from "../../src/observability/Descriptors.js"

const turn = () => new Promise((resolve) => setImmediate(resolve))

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
  const dial = async (most: number): Promise<number> => {
    let n = 0
    while (n < most && descriptors.hasRoom(true)) {
      n += 1
      state.open += 1
      await turn()
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
  ])("of %i, dials may use %i, and the rest stays free", async (limit, most) => {
    const { dial, state } = counted(limit)
    expect(await dial(30_000)).toBe(most)
    expect(state.open).toBe(most)
  })

  it("what others open and close meanwhile counts too, within a second", async () => {
    const { descriptors, dial, state } = counted(1024, 900)
    expect(await dial(1000)).toBe(60)
    await turn()
    state.open -= 10
    state.now += 1001
    expect(await dial(1000)).toBe(10)
    await turn()
    state.open += 100
    expect(descriptors.hasRoom(false)).toBe(false)
  })

  it("a limit that is changed while the process runs holds", async () => {
    const { descriptors, state } = counted(10_000, 300)
    expect(descriptors.hasRoom(true)).toBe(true)
    await turn()
    state.limit = 256
    state.now += 30_001
    expect(descriptors.hasRoom(true)).toBe(false)
  })

  it("that many ask for in one turn, before a socket of theirs is made, are counted all the same", async () => {
    const { descriptors, state } = counted(256, 40)
    let n = 0
    for (let i = 0; i < 1000; i++) if (descriptors.hasRoom(true)) n += 1
    expect(n).toBe(200)
    await turn()
    state.open += n
    state.now += 1001
    expect(descriptors.hasRoom(true)).toBe(false)
    expect(state.counts).toBeLessThan(5)
  })

  it("are seldom counted while there is much room", () => {
    const { descriptors, state } = counted(100_000, 1000)
    for (let i = 0; i < 10_000; i++) {
      descriptors.hasRoom(true)
      state.now += 1
    }
    expect(state.counts).toBeLessThan(5)
  })

  it("refuse nothing where the platform does not tell", async () => {
    const { dial } = counted(undefined)
    expect(await dial(5000)).toBe(5000)
  })

  it("of this process are told", () => {
    const descriptors = new Descriptors()
    expect(descriptors.hasRoom(false)).toBe(true)
    expect(descriptors.limit).toBeGreaterThan(descriptors.reserve)
  })
})
