/** An instance is fenced for its silence, and for nothing else that looks like it. */
import { describe, expect } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { instanceKey } from "../../src/domain/stored/Keys.js"
import { adjust, meddle, stored, until } from "./clockedInstances.js"
import { back, fleet, it, names, outage, secondsUntil, status, world } from "./fleets.js"

describe("silence", () => {
  it("a frozen one is suspected, then fenced by one and seen by all; it ends at once when it wakes", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      const life = c.lease.life()
      c.freeze()
      yield* until(() => names(a).includes("c suspect"))
      expect(status(here, c)).toBe("alive")
      expect(a.membership.live().map(({ id }) => id)).not.toContain("c")
      const shown = (yield* a.membership.instances).map(({ id, status }) => [
        id,
        status.slice("INSTANCE_STATUS_".length)
      ])
      expect(shown).toEqual([
        ["a", "ALIVE"],
        ["b", "ALIVE"],
        ["c", "SUSPECT"]
      ])
      const waited = yield* secondsUntil(() => status(here, c) === "dead")
      expect(waited).toBeLessThan(4)
      yield* adjust("3 seconds")
      for (const one of [a, b]) {
        expect(names(one)).toEqual(["c suspect", "c dead"])
        expect(one.victims.map(({ id, incarnation, reason }) => [id, incarnation, reason])).toEqual([
          ["c", life.incarnation, "dead"]
        ])
        expect(one.changes).toEqual(["held"])
      }
      const { by, reason } = stored(here.backend, instanceKey("c"))
      expect(reason).toBe("silence")
      expect([a, b].map(({ lease }) => lease.life().incarnation)).toContain(by)
      expect(life.valid()).toBe(false)
      yield* c.thaw
      yield* until(() => life.ended())
      yield* until(c.lease.valid)
      expect(c.lease.life().incarnation).not.toBe(life.incarnation)
    }))

  it("a fence fits the version judged only: a beat in between ends the attempt", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, , c] = yield* fleet(here, ["a", "b", "c"])
      c.freeze()
      yield* until(() => names(a).includes("c suspect"))
      // it beats, and nobody has read it before the judgement
      const { faults } = a
      faults.only = ({ operation }) => operation === "getMany"
      let beats = 0
      const beat = meddle(here.backend, instanceKey("c"), (record) => ({ ...record, beat: record.beat + 1 }))
      for (let i = 0; i < 16; i++, beats++) {
        yield* beat
        yield* adjust("1 second")
      }
      expect(status(here, c)).toBe("alive")
    }))

  it("what was not read is no silence: the first to come back after an outage fences nobody", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b", "c"])
      const [a, b, c] = all
      const lives = all.map(({ lease }) => lease.life())
      outage(all)
      yield* adjust("60 seconds")
      a.faults.heal()
      yield* adjust("5 seconds")
      expect([status(here, b), status(here, c)]).toEqual(["alive", "alive"])
      back([b, c])
      yield* adjust("20 seconds")
      expect(all.map(({ lease }) => lease.life())).toEqual(lives)
      expect(all.map(({ changes }) => changes)).toEqual([["held"], ["held"], ["held"]])
      // suspected, as they write later than the first reads, and never more
      expect(all.flatMap(names)).toEqual(["b suspect", "c suspect"])
    }))

  it("who was frozen itself doubts itself, not the others", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      // both stand still, and a goes on first
      a.freeze()
      b.freeze()
      yield* adjust("60 seconds")
      yield* a.thaw
      yield* adjust("5 seconds")
      expect(status(here, b)).toBe("alive")
      yield* adjust("5 seconds")
      expect(status(here, b)).toBe("dead")
      expect(a.lease.valid()).toBe(true)
    }))

  it("an answer after its deadline is no read", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      a.faults.only = ({ operation }) => operation === "getMany"
      a.faults.slow = Duration.millis(1500)
      b.freeze()
      yield* adjust("30 seconds")
      expect(status(here, b)).toBe("alive")
      a.faults.heal()
      yield* adjust("6 seconds")
      expect(status(here, b)).toBe("alive")
      yield* adjust("4 seconds")
      expect(status(here, b)).toBe("dead")
    }))

  it("an instance that is no longer in a state to act fences nobody", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      // reads, and cannot write
      a.faults.only = ({ operation }) => operation !== "getMany" && operation !== "get"
      a.faults.unavailable = true
      b.freeze()
      yield* adjust("20 seconds")
      expect(a.lease.valid()).toBe(false)
      expect(status(here, b)).toBe("alive")
    }))
})
