import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { uuidv7, uuidv8FromRequest } from "../../src/common/Uuid.js"
import { connectionKey, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import type { Owned } from "../../src/ownership/ConnectionStore.js"
import { joined, meddle, until, writes } from "../membership/clockedInstances.js"
import { connection, REPEATABLE, created, claims, page, record, restarted } from "./oneInstance.js"
import { stepping } from "./survivors.js"

describe("a connection whose owner has ended, claimed on request", () => {
  /** A connection of instance two, with what became of two's record. */
  const foreign = (backend: MemoryBackend, end: "dead" | "left" | "done" | "absent" | "another" | "alive") =>
    Effect.gen(function* () {
      const two = yield* joined(backend, { id: "two", pid: 7 })
      const owned = yield* created(two, connection({ id: uuidv8FromRequest(end) }), REPEATABLE)
      yield* two.crash
      if (end === "absent") backend.entries.delete(instanceKey("two"))
      else {
        const over = end === "another" ? { incarnation: "another" } : { status: end }
        yield* meddle(backend, instanceKey("two"), (value) => ({ ...value, ...over }))
      }
      return owned
    })

  for (const end of ["dead", "left", "done", "absent", "another"] as const) {
    it.scoped(`is mine, page first, with a higher epoch (its owner: ${end})`, () =>
      Effect.gen(function* () {
        const backend = new MemoryBackend()
        const theirs = yield* foreign(backend, end)
        const one = yield* joined(backend)
        one.faults.calls.length = 0
        const claimed = Option.getOrThrow(yield* stepping(one.store.claim(theirs.id)))
        expect(writes(one)).toEqual([pageKey("one", 0), connectionKey(theirs.id)])
        expect(claimed).toMatchObject({ from: "two", reason: end === "left" ? "left" : "dead" })
        expect(claimed.before.epoch).toBe(theirs.epoch)
        expect(claimed.owned.epoch).toBeGreaterThan(theirs.epoch)
        expect(record(backend, theirs.id)).toMatchObject({ owner: "one", epoch: claimed.owned.epoch })
        expect(page(backend).ids).toEqual([theirs.id])
        yield* one.store.update(claimed.owned, { topic: "other" })
        expect(Option.isNone(yield* stepping(one.store.claim(theirs.id)))).toBe(true)
      })
    )
  }

  it.scoped("is not mine while its owner lives, when it was removed, and when there is none", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const theirs = yield* foreign(backend, "alive")
      const one = yield* joined(backend)
      const removed = yield* created(one)
      yield* one.store.remove(removed)
      yield* TestClock.adjust("100 millis")
      const before = [page(backend), record(backend, theirs.id)]
      for (const id of [theirs.id, removed.id, uuidv7(0)]) {
        expect(Option.isNone(yield* stepping(one.store.claim(id)))).toBe(true)
      }
      expect([page(backend), record(backend, theirs.id)]).toEqual(before)
    })
  )

  it.scoped("not being able to read its owner says nothing: the claim fails, and nothing is written", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const theirs = yield* foreign(backend, "dead")
      const one = yield* joined(backend)
      one.faults.only = ({ key }) => key === instanceKey("two")
      one.faults.unavailable = true
      one.faults.calls.length = 0
      expect(yield* stepping(Effect.flip(one.store.claim(theirs.id)))).toMatchObject({ _tag: "StateStoreUnavailable" })
      one.faults.heal()
      yield* meddle(backend, instanceKey("two"), () => ({ v: 2 }))
      const refusal = yield* stepping(Effect.flip(one.store.claim(theirs.id)))
      expect(refusal.message).toContain("schema version 2")
      expect(writes(one, connectionKey(""))).toEqual([])
      expect(record(backend, theirs.id)).toMatchObject({ owner: "two" })
    })
  )

  it.scoped("that lands when nobody waits any more is handed over, or claimed by the next call", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const theirs = [yield* foreign(backend, "dead"), yield* foreign(backend, "left")] as const
      const one = yield* joined(backend)
      yield* meddle(backend, connectionKey(theirs[0].id), (value) => ({ ...value, incarnation: "x" }))
      const late: Array<string> = []
      for (const [i, { id }] of theirs.entries()) {
        one.faults.only = ({ key, operation }) =>
          key === connectionKey(id) && (operation === "replace" || record(backend, id)["owner"] === "one")
        one.faults.swallowResponse(1)
        const onLate = i === 0 ? ({ owned }: { owned: Owned }) => void late.push(owned.id) : undefined
        const call = yield* Effect.fork(one.store.claim(id, onLate))
        yield* until(() => record(backend, id)["owner"] === "one")
        yield* Fiber.interrupt(call)
        yield* TestClock.adjust("5 seconds")
        one.faults.heal()
      }
      expect(late).toEqual([theirs[0].id])
      const claimed = Option.getOrThrow(yield* stepping(one.store.claim(theirs[1].id)))
      expect(claimed.owned.isOwned()).toBe(true)
      expect(record(backend, theirs[1].id)).toMatchObject({ owner: "one", epoch: claimed.owned.epoch })
    })
  )

  it.scoped("a claim that came to nothing leaves a former life's connection to the others", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      yield* one.crash
      const again = yield* restarted(backend)
      yield* until(() => page(backend).incarnation === again.lease.life().incarnation)
      again.faults.only = ({ key, operation }) => key === connectionKey(owned.id) && operation === "get"
      again.faults.blackhole = true
      const call = yield* Effect.fork(Effect.flip(again.store.claim(owned.id)))
      yield* TestClock.adjust("100 millis")
      const all = yield* Effect.fork(claims(again))
      yield* Fiber.join(call).pipe(stepping)
      again.faults.heal()
      expect((yield* Fiber.join(all)).map((c) => c.owned.id)).toEqual([owned.id])
    })
  )
})
