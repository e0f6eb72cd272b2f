import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { INDEX_KEY, instanceKey } from "../../src/domain/stored/Keys.js"
import type { IncarnationState } from "../../src/membership/lease/Incarnation.js"
import { joined, meddle, start, stored, until, writes } from "./clockedInstances.js"

const KEY = instanceKey("one")

describe("the heartbeat of a lone instance", () => {
  it.scoped("writes its record, then the index, then one beat and one bulk read an interval", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const life = one.lease.life()
      expect(stored(backend, KEY)).toMatchObject({
        v: 1,
        id: "one",
        incarnation: life.incarnation,
        status: "alive",
        address: "http://127.0.0.1:5001",
        beat: 0,
        intervalMs: 2000,
        ttlMs: 6000,
        bootId: "boot",
        pidNamespace: "ns",
        pid: 1,
        processStart: "1",
        connections: 0
      })
      expect(stored(backend, INDEX_KEY)).toMatchObject({ v: 1, ids: { one: life.incarnation } })
      one.faults.calls.length = 0
      yield* TestClock.adjust("10 seconds")
      expect(one.faults.calls.map((c) => c.operation).sort()).toEqual([
        ...Array.from({ length: 5 }, () => "getMany"),
        ...Array.from({ length: 5 }, () => "replace")
      ])
      expect(stored(backend, KEY).beat).toBe(5)
      expect(one.changes).toEqual(["held"])
    })
  )

  it.scoped("keeps its lease while the store is gone for 10 seconds, and writes again when it is back", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      for (const fault of ["blackhole", "unavailable"] as const) {
        one.faults[fault] = true
        yield* TestClock.adjust("10 seconds")
        expect(one.lease.valid()).toBe(true)
        one.faults.heal()
        const { beat } = stored(backend, KEY)
        yield* TestClock.adjust("3 seconds")
        expect(stored(backend, KEY).beat).toBeGreaterThan(beat)
      }
      expect(one.changes).toEqual(["held"])
    })
  )

  it.scoped("the store is away from the first attempt that fails until a beat lands, whichever way it fails", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const life = one.lease.life()
      for (const fault of ["blackhole", "unavailable"] as const) {
        one.faults[fault] = true
        const { length } = one.faults.calls
        yield* until(() => one.faults.calls.length > length)
        yield* TestClock.adjust("1 second")
        for (let i = 0; i < 10; i++) {
          expect(life.storeAway()).toBe(true)
          yield* TestClock.adjust("330 millis")
        }
        one.faults.heal()
        yield* TestClock.adjust("1100 millis")
        expect(life.storeAway()).toBe(false)
      }
    })
  )

  it.scoped("tries again at once after an attempt without an answer, after 100 ms when it failed at once", () =>
    Effect.gen(function* () {
      const one = yield* joined(new MemoryBackend())
      for (const [fault, apart] of [
        ["blackhole", 1000],
        ["unavailable", 100]
      ] as const) {
        one.faults[fault] = true
        one.faults.calls.length = 0
        const attempts = () => one.faults.calls.filter(({ key }) => key === KEY)
        yield* until(() => attempts().length >= 4)
        const at = attempts()
          .slice(0, 4)
          .map((call) => call.at)
        expect(at.slice(1).map((time, i) => time - at[i]!)).toEqual([apart, apart, apart])
        one.faults.heal()
        yield* TestClock.adjust("1100 millis")
      }
    })
  )

  it.scoped("a compare that failed and cannot be read back may be a fence: the store is not away", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const life = one.lease.life()
      yield* meddle(backend, KEY, (record) => ({ ...record, status: "dead", by: "somebody", nonce: "x" }))
      one.faults.unavailable = true
      yield* until(life.storeAway)
      one.faults.only = ({ key, operation }) => key === KEY && operation === "get"
      yield* TestClock.adjust("200 millis")
      expect([life.ended(), life.storeAway()]).toEqual([false, false])
    })
  )

  it.scoped("a beat whose answer is lost is found by reading back, and the lease counts from when it was sent", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const life = one.lease.life()
      one.faults.only = ({ key }) => key === KEY
      one.faults.swallowResponse(1)
      yield* until(() => stored(backend, KEY).beat === 1)
      const sentAt = (life as IncarnationState).sinceBeat() - 2000
      expect(sentAt).toBeLessThan(100)
      // its answer never comes: the next attempt does not fit, and reads back what the first has written
      yield* until(() => one.faults.calls.at(-1)?.operation === "get")
      expect(stored(backend, KEY).beat).toBe(1)
      expect((life as IncarnationState).sinceBeat()).toBeGreaterThanOrEqual(1000)
      expect((life as IncarnationState).sinceBeat()).toBeLessThan(1300)
      expect(one.lease.life()).toBe(life)
      expect(one.changes).toEqual(["held"])
    })
  )

  it.scoped("a beat that lands late is its own, not a fence", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const life = one.lease.life()
      one.faults.only = ({ key }) => key === KEY
      // the repeated one has landed by then: the late one does not fit any more
      one.faults.landLate(Duration.millis(900))
      yield* until(() => one.faults.lateWrites.length === 1)
      expect(one.faults.lateWrites[0]!.outcome).toBe("VersionMismatch")
      // and one that lands while no other does
      one.faults.landLate(Duration.seconds(3), 1000)
      yield* until(() => one.faults.lateWrites.length === 2)
      expect(one.faults.lateWrites[1]!.outcome).toBe("ok")
      one.faults.heal()
      yield* TestClock.adjust("5 seconds")
      expect(one.lease.life()).toBe(life)
      expect(one.changes).toEqual(["held"])
    })
  )

  it.scoped("fenced by another's write it stops acting, and joins again with a new incarnation", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const life = one.lease.life()
      yield* meddle(backend, KEY, (record) => ({ ...record, status: "dead", by: "somebody", nonce: "x" }))
      yield* until(life.ended)
      expect(life.valid()).toBe(false)
      yield* until(one.lease.valid)
      expect(one.lease.life().incarnation).not.toBe(life.incarnation)
      expect(stored(backend, KEY)).toMatchObject({ status: "alive", incarnation: one.lease.life().incarnation })
      expect(stored(backend, INDEX_KEY).ids).toEqual({ one: one.lease.life().incarnation })
      expect(one.changes).toEqual(["held", "ended", "held"])
    })
  )

  it.scoped("a store that came back empty has fenced it", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const life = one.lease.life()
      backend.entries.clear()
      yield* until(life.ended)
      expect(one.membership.endOf(life)).toBe("emptied")
      yield* until(one.lease.valid)
      expect(one.lease.life().incarnation).not.toBe(life.incarnation)
      expect(stored(backend, INDEX_KEY).ids).toEqual({ one: one.lease.life().incarnation })
    })
  )

  it.scoped("says draining at once, lays the lease down before it writes left, and takes itself off the index", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const life = one.lease.life()
      yield* Effect.fork(one.membership.drain)
      yield* until(() => stored(backend, KEY).status === "draining")
      expect(life.valid()).toBe(true)
      let validWhenLeft: boolean | undefined
      one.faults.only = ({ key }) => {
        if (key === KEY) validWhenLeft = life.valid()
        return false
      }
      yield* Effect.fork(one.membership.leave)
      yield* until(() => one.membership.phase() === "left")
      yield* TestClock.adjust("100 millis")
      expect(validWhenLeft).toBe(false)
      expect(stored(backend, KEY).status).toBe("left")
      expect(stored(backend, INDEX_KEY).ids).toEqual({})
      expect(one.changes).toEqual(["held", "ended"])
    })
  )

  it.scoped("drained and then fenced it does not come back", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      yield* Effect.fork(one.membership.drain)
      yield* until(() => stored(backend, KEY).status === "draining")
      yield* meddle(backend, KEY, (record) => ({ ...record, status: "dead", nonce: "x" }))
      yield* until(() => one.membership.phase() === "left")
      yield* TestClock.adjust("10 seconds")
      expect(stored(backend, KEY).status).toBe("dead")
    })
  )
})

describe("joining", () => {
  it.scoped("waits while the id is in use, and says so; takes it at once when that one has left", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const first = yield* joined(backend, { pid: 1 })
      const second = yield* start(backend, { pid: 2 })
      yield* TestClock.adjust("20 seconds")
      expect(second.lease.valid()).toBe(false)
      expect(writes(second)).toEqual([])
      expect(first.changes).toEqual(["held"])
      yield* Effect.fork(first.membership.leave)
      yield* until(second.lease.valid)
      expect(stored(backend, KEY)).toMatchObject({ status: "alive", pid: 2 })
    })
  )

  it.scoped("takes the id at once when the old process is known to be gone", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const first = yield* joined(backend, { pid: 1 })
      yield* first.crash
      const second = yield* start(backend, { pid: 2, gone: (pid) => pid === 1 })
      yield* TestClock.adjust("1 millis")
      expect(second.lease.valid()).toBe(true)
    })
  )

  it.scoped("fences a silent one only after its ttl and the margin, counted from when it began to listen", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const first = yield* joined(backend, { pid: 1 })
      const { incarnation } = first.lease.life()
      yield* first.crash
      yield* TestClock.adjust("1 minute")
      const second = yield* start(backend, { pid: 2 })
      yield* TestClock.adjust("6 seconds")
      expect(stored(backend, KEY)).toMatchObject({ status: "alive", incarnation })
      yield* TestClock.adjust("2 seconds")
      expect(second.lease.valid()).toBe(true)
    })
  )

  it.scoped("does not count silence while the store is away", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const first = yield* joined(backend, { pid: 1 })
      yield* first.crash
      const second = yield* start(backend, { pid: 2 })
      yield* TestClock.adjust("4 seconds")
      second.faults.unavailable = true
      yield* TestClock.adjust("4 seconds")
      second.faults.heal()
      yield* TestClock.adjust("4 seconds")
      expect(second.lease.valid()).toBe(false)
      yield* TestClock.adjust("4 seconds")
      expect(second.lease.valid()).toBe(true)
    })
  )

  it.scoped("never overwrites a record of another schema version", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      yield* meddle(backend, KEY, () => ({ v: 2, anything: true }))
      const one = yield* start(backend)
      yield* TestClock.adjust("30 seconds")
      expect(one.lease.valid()).toBe(false)
      expect(stored(backend, KEY)).toEqual({ v: 2, anything: true })
    })
  )
})
