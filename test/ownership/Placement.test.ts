import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { uuidv7 } from "../../src/common/Uuid.js"
import { place } from "../../src/ownership/takeover/Placement.js"

const connections = (n: number): ReadonlyArray<string> => Array.from({ length: n }, (_, i) => uuidv7(i))
const fleets = FastCheck.uniqueArray(FastCheck.stringMatching(/^[a-z0-9][a-z0-9.-]{0,20}$/), {
  minLength: 1,
  maxLength: 12
})

describe("placement", () => {
  it("gives a connection to the same live instance, in whatever order they are known; nobody where there is none", () => {
    FastCheck.assert(
      FastCheck.property(fleets, FastCheck.uuid(), (ids, connection) => {
        const placed = place(connection, ids)
        expect(ids).toContain(placed)
        expect(place(connection, ids.toReversed())).toBe(placed)
        expect(place(connection, ids.toSorted())).toBe(placed)
      })
    )
    expect(place("c", [])).toBeUndefined()
  })

  it("moves only what was on the instance that went, and only to the one that came", () => {
    FastCheck.assert(
      FastCheck.property(fleets, FastCheck.uuid(), (ids, connection) => {
        const [gone, ...rest] = ids
        const before = place(connection, ids)
        const after = place(connection, rest)
        if (before !== gone) expect(after).toBe(before)
        // the other way round: one comes
        if (after !== before) expect(before).toBe(gone)
      })
    )
  })

  it.each([
    [["a", "b"]],
    [["feeder-0", "feeder-1", "feeder-2"]],
    [["host-5001", "host-5002", "host-5003", "host-5004", "host-5005"]],
    [Array.from({ length: 20 }, (_, i) => `websocketmanager-7f9c6d5b8-${i}`)]
  ])("spreads evenly over %j, and so does what one of them leaves", (ids) => {
    const all = connections(ids.length * 250)
    const spread = (placed: ReadonlyArray<string | undefined>, over: ReadonlyArray<string>) => {
      const counts = over.map((id) => placed.filter((one) => one === id).length)
      const even = placed.length / over.length
      // five standard deviations
      for (const count of counts) expect(Math.abs(count - even)).toBeLessThan(5 * Math.sqrt(even))
    }
    spread(
      all.map((id) => place(id, ids)),
      ids
    )
    const rest = ids.slice(1)
    const left = all.filter((id) => place(id, ids) === ids[0])
    spread(
      left.map((id) => place(id, rest)),
      rest
    )
  })
})
