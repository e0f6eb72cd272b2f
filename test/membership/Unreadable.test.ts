/** Rows that somebody wrote by hand, copied, or broke: each costs itself alone, and the fleet is judged all the same. */
import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { INDEX_KEY, instanceKey } from "../../src/domain/stored/Keys.js"
import { fleet, it, world } from "./fleets.js"
import { adjust, joined, meddle, stored, until } from "./clockedInstances.js"

/** What stands under the key of an instance that is none; made from the record of a living one. */
const ROWS: ReadonlyArray<readonly [what: string, row: (living: any) => unknown]> = [
  ["a copy of a living record", (living) => living],
  ["a copy of a living record that has its own id", (living) => ({ ...living, id: "ghost" })],
  ["a record without an incarnation", (living) => ({ ...living, id: "ghost", incarnation: undefined })],
  [
    "a record that would be waited for for ever",
    (living) => ({ ...living, id: "ghost", incarnation: "x", ttlMs: 1e300 })
  ],
  ["text that is no record", () => "nothing"],
  ["an id that is no text", (living) => ({ ...living, id: 7 })]
]

describe("a row that cannot be understood", () => {
  for (const [what, row] of ROWS) {
    it(`(${what}) ends no failure detection, blocks nobody who joins, and is no member for ever`, () =>
      Effect.gen(function* () {
        const here = world()
        const [one, two] = yield* fleet(here, ["one", "two"])
        yield* meddle(here.backend, instanceKey("ghost"), () => row(stored(here.backend, instanceKey("two"))))
        const incarnation = stored(here.backend, instanceKey("two")).incarnation
        yield* meddle(here.backend, INDEX_KEY, (index) => ({ ...index, ids: { ...index.ids, ghost: incarnation } }))
        yield* adjust("3 seconds")
        expect(one.troubles().map(({ name }) => name)).toContain("the record of instance ghost")

        two.freeze()
        yield* until(() => one.events.some(({ id, name }) => id === "two" && name === "instance-dead"))
        yield* adjust("10 seconds")
        expect(one.membership.members().map(({ id }) => id)).toEqual([])
        expect(["dead", "done"]).toContain(stored(here.backend, instanceKey("ghost")).status)
        expect(one.troubles()).toEqual([])
        const three = yield* joined(here.backend, { id: "three", network: here.network, address: "http://three:5001" })
        expect(three.membership.phase()).toBe("joined")
      }))
  }

  it("in the place of a living record ends that life alone: it joins again under its id, and is no ghost to the others", () =>
    Effect.gen(function* () {
      const here = world()
      const [one, two] = yield* fleet(here, ["one", "two"])
      const before = two.lease.life().incarnation
      yield* meddle(here.backend, instanceKey("two"), () => ({ v: 1, id: "two" }))
      yield* until(() => two.lease.valid() && two.lease.life().incarnation !== before, "100 millis")
      yield* until(() =>
        one.membership.members().some(({ incarnation }) => incarnation === two.lease.life().incarnation)
      )
      expect(one.lease.valid()).toBe(true)
      expect(one.membership.members().length).toBe(1)
    }))

  it("of a newer version is left alone, by who has that id too", () =>
    Effect.gen(function* () {
      const here = world()
      const [one] = yield* fleet(here, ["one"])
      yield* meddle(here.backend, instanceKey("newer"), () => ({ v: 2, shape: "unknown" }))
      yield* meddle(here.backend, INDEX_KEY, (index) => ({ ...index, ids: { ...index.ids, newer: "x" } }))
      yield* adjust("30 seconds")
      expect(stored(here.backend, instanceKey("newer"))).toEqual({ v: 2, shape: "unknown" })
      expect(one.troubles().map(({ name }) => name)).toEqual(["the record of instance newer"])
    }))

  it("(the index) is said, and who is known is judged on", () =>
    Effect.gen(function* () {
      const here = world()
      const [one, two] = yield* fleet(here, ["one", "two"])
      yield* meddle(here.backend, INDEX_KEY, () => ({ v: 1, ids: "none" }))
      two.freeze()
      yield* until(() => one.events.some(({ id, name }) => id === "two" && name === "instance-dead"))
      expect(one.troubles().map(({ name }) => name)).toContain("the index of instances")
    }))

  it("(an entry of the index) is kept, and costs nobody anything", () =>
    Effect.gen(function* () {
      const here = world()
      yield* fleet(here, ["one"])
      const bad = { _index: "x", "a/b": "x", seven: 7, "": "x" }
      yield* meddle(here.backend, INDEX_KEY, (index) => ({ ...index, ids: { ...index.ids, ...bad } }))
      const two = yield* joined(here.backend, { id: "two", network: here.network, address: "http://two:5001" })
      yield* adjust("5 seconds")
      expect(stored(here.backend, INDEX_KEY).ids).toMatchObject(bad)
      expect(two.troubles()).toEqual([])
      expect(two.membership.members().map(({ id }) => id)).toEqual(["one"])
    }))
})

describe("the watch on the fleet", () => {
  it("that ended by a defect is begun again, counted, and notices who dies", () =>
    Effect.gen(function* () {
      const here = world()
      const [one, two] = yield* fleet(here, ["one", "two"])
      one.faults.only = ({ operation }) => operation === "getMany"
      one.faults.defect = true
      yield* adjust("5 seconds")
      expect(one.troubles().map(({ name }) => name)).toContain("watch on the fleet")
      expect(one.metrics.fiberRestarts("watch on the fleet").value).toBeGreaterThan(0)
      one.faults.heal()
      two.freeze()
      yield* until(() => one.events.some(({ id, name }) => id === "two" && name === "instance-dead"))
      yield* adjust("12 seconds")
      expect(one.troubles()).toEqual([])
    }))
})
