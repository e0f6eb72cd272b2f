/** Joining where the id is in use, or where others have ended. */
import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { INDEX_KEY, instanceKey } from "../../src/domain/stored/Keys.js"
import { adjust, joined, meddle, start, stored, until } from "./clockedInstances.js"
import { address, at, fleet, it, outage, status, world } from "./fleets.js"

describe("joining beside others", () => {
  it("a live record is waited for, and the one that waits, at another address, is no member of anybody's", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const life = a.lease.life()
      // the same id at another address
      const again = yield* start(here.backend, { ...at(here, "a", { pid: 2 }), address: address("a2") })
      yield* adjust("10 seconds")
      expect(again.lease.valid()).toBe(false)
      expect(a.lease.life()).toBe(life)
      expect([a, b].map(({ membership }) => membership.members().map((m) => m.address))).toEqual([
        [b.address],
        [a.address]
      ])
    }))

  it("who waits promises too: the store away for it and the holder, the holder goes on", () =>
    Effect.gen(function* () {
      const here = world()
      const a = yield* joined(here.backend, at(here, "a"))
      const again = yield* start(here.backend, { ...at(here, "a", { pid: 2 }), address: address("a2") })
      yield* adjust("5 seconds")
      outage([a, again])
      yield* adjust("40 seconds")
      expect(a.changes).toEqual(["held"])
      // and it does not count what it did not hear
      again.faults.heal()
      yield* adjust("5 seconds")
      expect(status(here, a)).toBe("alive")
      a.faults.heal()
      yield* adjust("10 seconds")
      expect(a.changes).toEqual(["held"])
      expect(again.lease.valid()).toBe(false)
    }))

  it("fenced while it was writing its first record, it takes a new incarnation", () =>
    Effect.gen(function* () {
      const here = world()
      const b = yield* joined(here.backend, at(here, "b"))
      const tries: Array<string> = []
      const seen = () => {
        const record = stored(here.backend, instanceKey("a"))
        if (record !== undefined && !tries.includes(record.incarnation)) tries.push(record.incarnation)
      }
      const a = yield* start(here.backend, at(here, "a"))
      a.faults.only = ({ key }) => key === instanceKey("a")
      a.faults.swallowResponse(1)
      yield* until(() => {
        seen()
        return tries.length === 1
      })
      // its first record has landed, it knows nothing of that, and is fenced
      yield* meddle(here.backend, instanceKey("a"), (record) => ({ ...record, status: "dead", nonce: "x" }))
      yield* until(() => {
        seen()
        return a.lease.valid()
      })
      expect(tries).toHaveLength(2)
      expect(a.lease.life().incarnation).toBe(tries[1])
      expect(stored(here.backend, INDEX_KEY).ids.a).toBe(tries[1])
      expect(b.lease.valid()).toBe(true)
    }))

  it("begins its victims anew with each life, with those that ended before it came", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      yield* c.crash
      yield* until(() => a.victims.length === 1 && b.victims.length === 1)
      const life = a.lease.life()
      yield* meddle(here.backend, instanceKey("a"), (record) => ({ ...record, status: "dead", nonce: "x" }))
      yield* until(() => life.ended() && a.lease.valid())
      yield* adjust("3 seconds")
      expect(a.victims.map(({ id }) => id)).toEqual(["c", "c"])
      // done is done
      yield* meddle(here.backend, instanceKey("c"), (record) => ({ ...record, status: "done", nonce: "x" }))
      const d = yield* joined(here.backend, at(here, "d"))
      yield* adjust("5 seconds")
      expect(d.victims).toEqual([])
    }))
})
