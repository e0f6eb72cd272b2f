import { describe, expect, it } from "vitest"
import { ALL_UP_TO, neighbours, NEXT } from "../../src/membership/peers/Ring.js"

const ids = (count: number) => Array.from({ length: count }, (_, i) => `instance-${i}`)

describe("the ring", () => {
  it("up to eight peers each has a link to all", () => {
    const all = ids(ALL_UP_TO + 1)
    for (const id of all) {
      const others = all.filter((other) => other !== id)
      expect([...neighbours(id, others)].sort()).toEqual(others)
    }
  })

  it("beyond, each has a few, each is had by as many, and the order of the list does not matter", () => {
    for (const count of [10, 57, 200]) {
      const all = ids(count)
      const had = new Map<string, number>()
      for (const id of all) {
        const others = all.filter((other) => other !== id)
        const chosen = neighbours(id, others)
        expect(neighbours(id, others.toReversed())).toEqual(chosen)
        expect(chosen).toHaveLength(NEXT)
        for (const other of chosen) had.set(other, (had.get(other) ?? 0) + 1)
      }
      expect(all.map((id) => had.get(id))).toEqual(all.map(() => NEXT))
    }
  })

  it("who leaves moves only the links of those before it", () => {
    const all = ids(50)
    const of = (id: string, present: ReadonlyArray<string>) =>
      neighbours(
        id,
        present.filter((other) => other !== id)
      )
    const rest = all.filter((id) => id !== "instance-7")
    const moved = rest.filter((id) => of(id, all).join() !== of(id, rest).join())
    expect(moved).toEqual(rest.filter((id) => of(id, all).includes("instance-7")))
  })
})
