/** Who is a member, what is told of those who come and go, and what reading of them costs. */
import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { adjust, joined, until } from "./clockedInstances.js"
import { at, fleet, it, names, world } from "./fleets.js"

describe("a fleet at rest", () => {
  it("each sees the others; one write and one bulk read an interval and instance", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b", "c"])
      for (const one of all) {
        expect(
          one.membership
            .members()
            .map(({ id }) => id)
            .sort()
        ).toEqual(["a", "b", "c"].filter((id) => id !== one.id))
        one.faults.calls.length = 0
      }
      yield* adjust("60 seconds")
      for (const { changes, faults } of all) {
        expect([faults.count("getMany"), faults.count("replace"), faults.calls.length]).toEqual([30, 30, 60])
        expect(changes).toEqual(["held"])
      }
    }))

  it("who comes, drains and leaves is announced once by each of the others", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const c = yield* joined(here.backend, at(here, "c"))
      yield* adjust("5 seconds")
      expect([names(a), names(b), names(c)]).toEqual([["c joined"], ["c joined"], []])
      yield* Effect.fork(c.membership.drain)
      yield* adjust("5 seconds")
      expect(a.membership.live().map(({ id }) => id)).toEqual(["a", "b"])
      yield* Effect.fork(c.membership.leave)
      yield* adjust("10 seconds")
      for (const one of [a, b]) {
        expect(names(one)).toEqual(["c joined", "c draining", "c left"])
        expect(one.victims.map(({ id, reason }) => [id, reason])).toEqual([["c", "left"]])
        expect(one.membership.members()).toHaveLength(1)
      }
    }))

  it("a joiner has no share of the dials for two intervals, the others count it at once", () =>
    Effect.gen(function* () {
      const here = world()
      const a = yield* joined(here.backend, at(here, "a"))
      expect(a.membership.dialShare()).toBe(1)
      const b = yield* joined(here.backend, at(here, "b"))
      yield* until(() => b.membership.members().length === 1)
      expect(b.membership.dialShare()).toBe(0)
      yield* adjust("3500 millis")
      expect([a.membership.dialShare(), b.membership.dialShare()]).toEqual([1 / 2, 0])
      yield* adjust("1 second")
      expect([a.membership.dialShare(), b.membership.dialShare()]).toEqual([1 / 2, 1 / 2])
    }))
})
