import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { INDEX_KEY, instanceKey } from "../../src/domain/Key.js"
import { address, at, back, fleet, it, outage, status, world } from "./fleets.js"
import { adjust, type Instance, joined, start, stored, until } from "./instances.js"

const ids = ({ membership }: Instance) => membership.members().map(({ id }) => id)
const addresses = ({ membership }: Instance) => membership.members().map((member) => member.address)

describe("who said hello and is gone before the next read", () => {
  it("left: it is no member, and the store away for all costs nobody the lease", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const c = yield* joined(here.backend, at(here, "c"))
      yield* until(() => ids(a).includes("c") && ids(b).includes("c"), "1 millis")
      yield* c.membership.leave
      expect(stored(here.backend, INDEX_KEY).ids.c).toBeUndefined()
      // nobody has read of it, and its host says nothing
      expect([ids(a), ids(b)]).toEqual([
        ["b", "c"],
        ["a", "c"]
      ])
      for (const one of [a, b]) here.network.cut(one.address, c.address)
      yield* adjust("5 seconds")
      expect([ids(a), ids(b)]).toEqual([["b"], ["a"]])
      outage([a, b])
      yield* adjust("30 seconds")
      expect([a.changes, b.changes]).toEqual([["held"], ["held"]])
    }))

  it("its record is there no more: it is no member either", () =>
    Effect.gen(function* () {
      const here = world()
      const [a] = yield* fleet(here, ["a", "b"])
      yield* a.membership.hello({ id: "c", incarnation: "of-c", address: address("c") })
      expect(ids(a)).toContain("c")
      yield* adjust("5 seconds")
      expect(ids(a)).toEqual(["b"])
    }))

  it("killed before its index entry: its record is read all the same, and it is fenced for its silence", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const c = yield* start(here.backend, at(here, "c"))
      c.faults.only = ({ key, operation }) => key === INDEX_KEY && operation !== "getMany"
      c.faults.blackhole = true
      yield* until(() => ids(a).includes("c") && ids(b).includes("c"), "1 millis")
      for (const one of [a, b]) here.network.cut(one.address, c.address)
      yield* c.crash
      expect(stored(here.backend, INDEX_KEY).ids.c).toBeUndefined()
      yield* until(() => status(here, c) === "dead")
      expect(stored(here.backend, instanceKey("c")).reason).toBe("silence")
      yield* adjust("3 seconds")
      expect([a, b].map(({ victims }) => victims.map(({ id }) => id))).toEqual([["c"], ["c"]])
      expect([ids(a), ids(b)]).toEqual([["b"], ["a"]])
    }))
})

describe("who waits for my id", () => {
  it("is a member as long as it goes on saying hello, and none when it is gone", () =>
    Effect.gen(function* () {
      const here = world()
      const a = yield* joined(here.backend, at(here, "a"))
      const again = yield* start(here.backend, { ...at(here, "a", { pid: 2 }), address: address("a2") })
      for (let i = 0; i < 60; i++) {
        yield* adjust("1 second")
        expect(addresses(a)).toEqual([address("a2")])
      }
      here.network.cut(a.address, again.address)
      yield* again.crash
      yield* adjust("5 seconds")
      expect(addresses(a)).toEqual([address("a2")])
      yield* adjust("8 seconds")
      expect(addresses(a)).toEqual([])
      outage([a])
      yield* adjust("30 seconds")
      back([a])
      yield* adjust("5 seconds")
      expect(a.changes).toEqual(["held"])
    }))
})
