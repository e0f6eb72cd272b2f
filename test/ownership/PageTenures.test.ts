import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { uuidv7, uuidv8FromRequest } from "../../src/common/Uuid.js"
import { connectionKey, INDEX_KEY, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import { type Instance, joined, meddle, start, stored, until, writes } from "../membership/clockedInstances.js"
import { connection, FRESH, REPEATABLE, created, claims, page, record, restarted } from "./oneInstance.js"
import { stepping } from "./survivors.js"

describe("leaving with nothing held", () => {
  const leave = (one: Instance) =>
    Effect.gen(function* () {
      yield* Effect.fork(one.membership.leave)
      yield* until(() => one.membership.phase() === "left")
      yield* TestClock.adjust("100 millis")
    })

  it.scoped("leaves nothing behind for longer than an hour: its record says left, and its pages are empty", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const all = yield* Effect.forEach(Array.from({ length: 257 }), () => created(one), { concurrency: "unbounded" })
      yield* Effect.forEach(all, (owned) => one.store.remove(owned), { concurrency: "unbounded", discard: true })
      yield* until(() => page(backend).ids.length === 0 && page(backend, 1).ids.length === 0)
      one.faults.calls.length = 0
      yield* leave(one)
      // under the lease, and the last page first: no page may stand behind a missing one
      const [heartbeat, first, second] = [instanceKey("one"), pageKey("one", 0), pageKey("one", 1)]
      expect(writes(one, "/instances/one")).toEqual([second, first, heartbeat])
      expect(stored(backend, heartbeat)).toMatchObject({ status: "left" })
      const now = yield* Clock.currentTimeMillis
      for (const key of [heartbeat, first, second]) {
        expect(backend.read(key, now + 3_590_000)).toBeDefined()
        expect(backend.read(key, now + 3_600_000)).toBeUndefined()
      }
    })
  )

  it.scoped("whoever comes back within the hour writes all of it to stay", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      yield* one.store.remove(yield* created(one))
      yield* until(() => page(backend).ids.length === 0)
      yield* leave(one)
      const again = yield* joined(backend, { pid: 2 })
      yield* created(again)
      for (const key of [instanceKey("one"), pageKey("one", 0)]) {
        expect(backend.entries.get(key)?.expiresAt).toBe(Infinity)
      }
    })
  )

  it.scoped("what is held keeps the record and the page for ever", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      one.store.release(yield* created(one))
      yield* leave(one)
      for (const key of [instanceKey("one"), pageKey("one", 0)]) {
        expect(backend.entries.get(key)?.expiresAt).toBe(Infinity)
      }
    })
  )

  it.scoped("a page that could not be taken over is not known to be empty: record and index entry stay", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      yield* created(one)
      yield* one.crash
      // of a version that can do more
      yield* meddle(backend, pageKey("one", 0), (value) => ({ ...value, v: 2 }))
      const again = yield* restarted(backend)
      yield* TestClock.adjust("3 seconds")
      yield* leave(again)
      expect(stored(backend, instanceKey("one"))).toMatchObject({ status: "left" })
      expect(backend.entries.get(instanceKey("one"))?.expiresAt).toBe(Infinity)
      expect(stored(backend, INDEX_KEY).ids).toEqual({ one: again.lease.life().incarnation })
      expect(page(backend).v).toBe(2)
    })
  )

  it.scoped("who leaves before it has a lease keeps what a former life left", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      yield* created(one)
      yield* one.crash
      const again = yield* start(backend, { pid: 2, gone: (pid) => pid === 1, unavailable: INDEX_KEY })
      yield* until(() => stored(backend, instanceKey("one")).incarnation === again.lease.life().incarnation)
      expect(again.lease.valid()).toBe(false)
      yield* leave(again)
      expect(stored(backend, instanceKey("one"))).toMatchObject({ status: "left" })
      expect(backend.entries.get(instanceKey("one"))?.expiresAt).toBe(Infinity)
      expect(stored(backend, INDEX_KEY).ids).toHaveProperty("one")
    })
  )

  it.scoped("a page that cannot be written holds the leaving up for half an interval at most", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      yield* one.store.remove(yield* created(one))
      yield* until(() => page(backend).ids.length === 0)
      one.faults.only = ({ key }) => key === pageKey("one", 0)
      one.faults.blackhole = true
      yield* Effect.fork(one.membership.leave)
      yield* TestClock.adjust("1100 millis")
      expect(stored(backend, instanceKey("one"))).toMatchObject({ status: "left" })
    })
  )
})

describe("when the life ends", () => {
  const fenced = (backend: MemoryBackend) =>
    meddle(backend, instanceKey("one"), (value) => ({ ...value, status: "dead", nonce: "x" }))

  it.scoped("fenced while it holds connections it owns none, and claims them in its next life", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      yield* meddle(backend, instanceKey("one"), (value) => ({ ...value, status: "dead", nonce: "x" }))
      yield* until(owned.life.ended)
      expect(owned.isOwned()).toBe(false)
      yield* until(one.lease.valid)
      const claimed = yield* claims(one)
      expect(claimed).toMatchObject([{ owned: { id: owned.id }, reason: "restart" }])
      expect(claimed[0]!.owned.epoch).toBeGreaterThan(owned.epoch)
    })
  )

  it.scoped("a page that somebody sealed ends it at once, before the next beat", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const { life } = yield* created(one)
      yield* meddle(backend, instanceKey("one"), (value) => ({ ...value, status: "dead", nonce: "x" }))
      yield* meddle(backend, pageKey("one", 0), (value) => ({ ...value, sealed: true, nonce: "x" }))
      const asked = connection()
      yield* stepping(Effect.flip(one.store.create(asked, FRESH)))
      expect(life.ended()).toBe(true)
      expect(record(backend, asked.id)).toBeUndefined()
    })
  )

  it.scoped("a store that came back empty gets back what this instance held, with a greater epoch", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const [kept, removed] = [yield* created(one), yield* created(one)]
      yield* one.store.remove(removed)
      backend.entries.clear()
      yield* until(kept.life.ended)
      yield* until(one.lease.valid)
      const claimed = yield* claims(one)
      expect(claimed).toMatchObject([{ owned: { id: kept.id }, from: "one", reason: "restart" }])
      expect(claimed[0]!.owned.epoch).toBeGreaterThan(kept.epoch)
      expect(record(backend, kept.id)).toMatchObject({ owner: "one", epoch: claimed[0]!.owned.epoch })
      expect(page(backend).ids).toEqual([kept.id])
    })
  )

  it.scoped(
    "before its pages are its own: nobody waits for them any more, and the next life claims what is on them",
    () =>
      Effect.gen(function* () {
        const backend = new MemoryBackend()
        const one = yield* joined(backend)
        const owned = yield* created(one)
        one.faults.only = ({ key }) => key === pageKey("one", 0)
        one.faults.blackhole = true
        yield* fenced(backend)
        yield* until(owned.life.ended)
        yield* until(one.lease.valid)
        const second = one.lease.life()
        const asked = connection({ id: uuidv8FromRequest("waits") })
        const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
          Stream.runDrain(one.store.claimOwn),
          Effect.flip(one.store.create(asked, REPEATABLE)),
          Effect.flip(one.store.claim(owned.id)),
          Effect.flip(one.store.claimHandover(uuidv7(0), 1))
        ]
        const waiting = yield* Effect.forEach(calls, (call) => Effect.fork(call))
        yield* TestClock.adjust("2 seconds")
        expect(waiting.map((call) => call.unsafePoll())).toEqual([null, null, null, null])
        yield* fenced(backend)
        yield* until(second.ended)
        yield* TestClock.adjust("10 millis")
        const [all, ...refused] = waiting.map((call) => call.unsafePoll())
        expect(all).toEqual(Exit.void)
        for (const answer of refused) {
          expect(answer).toMatchObject({ _tag: "Success", value: { _tag: "StateStoreUnavailable" } })
          expect(answer).not.toMatchObject({ value: { outcome: "unknown" } })
        }
        one.faults.heal()
        yield* until(one.lease.valid)
        expect(yield* claims(one)).toMatchObject([{ owned: { id: owned.id }, reason: "restart" }])
        yield* created(one, asked, REPEATABLE)
      })
  )

  it.scoped("what a store that came back empty did not get back by then is created anew by the life after it", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const [first, second, third] = [yield* created(one), yield* created(one), yield* created(one)]
      one.faults.only = ({ key }) => key === connectionKey(second.id) || key === connectionKey(third.id)
      one.faults.unavailable = true
      backend.entries.clear()
      yield* until(first.life.ended)
      yield* until(one.lease.valid)
      const between = one.lease.life()
      const some = yield* Effect.fork(Stream.runCollect(one.store.claimOwn))
      yield* until(() => record(backend, first.id) !== undefined)
      yield* fenced(backend)
      yield* until(between.ended)
      yield* until(() => some.unsafePoll() !== null)
      one.faults.heal()
      yield* until(one.lease.valid)
      const claimed = yield* claims(one)
      expect(new Set(claimed.map(({ owned }) => owned.id))).toEqual(new Set([first.id, second.id, third.id]))
      yield* one.store.remove(claimed.find(({ owned }) => owned.id === second.id)!.owned)
      // all of it is back: nothing is left to be created anew in any later life
      yield* fenced(backend)
      yield* until(claimed[0]!.owned.life.ended)
      backend.entries.delete(connectionKey(second.id))
      expect((yield* claims(one)).map(({ owned }) => owned.id).sort()).toEqual([first.id, third.id].sort())
    })
  )

  it.scoped("a removal that was still unknown is finished by the next life", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      one.faults.only = ({ key }) => key === connectionKey(owned.id)
      one.faults.unavailable = true
      yield* Effect.flip(one.store.remove(owned))
      yield* meddle(backend, instanceKey("one"), (value) => ({ ...value, status: "dead", nonce: "x" }))
      yield* until(owned.life.ended)
      one.faults.heal()
      yield* until(one.lease.valid)
      expect(yield* claims(one)).toEqual([])
      expect(record(backend, owned.id)).toMatchObject({ tombstone: true })
      yield* until(() => page(backend).ids.length === 0)
    })
  )
})
