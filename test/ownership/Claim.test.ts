/** What goes wrong without each step of a takeover (src/ownership/README.md, Taking over), one scenario each: a claim. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { connectionKey, pageKey } from "../../src/domain/stored/Keys.js"
import { meddle, until } from "../membership/clockedInstances.js"
import { create, createMany, isDone, kill, member, onPages, record, stepping, victimAndSurvivor } from "./survivors.js"

describe("a claim", () => {
  it.scoped(
    "that lost to a late status write of the owner that has ended is made again, and the page keeps the id",
    () =>
      Effect.gen(function* () {
        const { a, b, backend } = yield* victimAndSurvivor
        const owned = yield* create(a)
        // read before it lands, written after
        b.faults.only = ({ key, operation }) => key === connectionKey(owned.id) && operation === "replace"
        b.faults.slow = Duration.millis(1900)
        yield* kill(backend, a)
        yield* until(() => onPages(backend, "b").length === 1)
        yield* meddle(backend, connectionKey(owned.id), (found) => ({ ...found, topic: "late" }))
        b.faults.slow = undefined
        yield* until(() => {
          expect(onPages(backend, "b")).toEqual([owned.id])
          return b.claimed.length === 1
        })
        expect(record(backend, owned.id)).toMatchObject({ owner: "b", topic: "late" })
        yield* until(() => isDone(backend, "a"))
        expect(b.claimed).toHaveLength(1)
      })
  )

  it.scoped("that lost keeps the id on my page as long as no living owner and no tombstone stands there", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const b = yield* member(backend, "b")
      const c = yield* member(backend, "c", { reclaims: false })
      const owned = yield* create(c)
      expect(yield* c.store.offerHandover(owned, { id: "b", incarnation: b.lease.life().incarnation })).toBe(true)
      b.faults.only = ({ key, operation }) => key === connectionKey(owned.id) && operation === "replace"
      b.faults.slow = Duration.millis(1900)
      const claiming = yield* Effect.fork(b.store.claimHandover(owned.id, owned.epoch))
      yield* until(() => onPages(backend, "b").length === 1)
      // its owner ends, no page but mine names it, and its last status write lands late
      yield* kill(backend, c)
      yield* meddle(backend, pageKey("c", 0), (found) => ({ ...found, ids: [] }))
      yield* meddle(backend, connectionKey(owned.id), (found) => ({ ...found, topic: "late" }))
      b.faults.slow = undefined
      expect(yield* stepping(claiming.await)).toMatchObject({ _tag: "Success", value: { _tag: "None" } })
      expect(onPages(backend, "b")).toEqual([owned.id])
      yield* until(() => b.claimed.length === 1)
      expect(record(backend, owned.id)).toMatchObject({ owner: "b", topic: "late" })
    })
  )

  it.scoped("that lost to a living owner leaves my page", () =>
    Effect.gen(function* () {
      const { a, b, backend } = yield* victimAndSurvivor
      const c = yield* member(backend, "c", { reclaims: false })
      const owned = yield* create(a)
      b.faults.only = ({ key, operation }) => key === connectionKey(owned.id) && operation === "replace"
      b.faults.slow = Duration.millis(1900)
      yield* kill(backend, a)
      yield* until(() => onPages(backend, "b").length === 1)
      const { incarnation } = c.lease.life()
      yield* meddle(backend, connectionKey(owned.id), (found) => ({ ...found, owner: "c", incarnation }))
      yield* until(() => onPages(backend, "b").length === 0)
      yield* until(() => isDone(backend, "a"))
      expect(b.claimed).toEqual([])
    })
  )

  it.scoped(
    "has an epoch of at least the Unix seconds, so that it grows over expired tombstones; or one more than the old",
    () =>
      Effect.gen(function* () {
        yield* TestClock.adjust("15000 days")
        const seconds = 15_000 * 86_400
        const { a, b, backend } = yield* victimAndSurvivor
        const [old, ahead] = yield* createMany(a, 2)
        yield* meddle(backend, connectionKey(old!.id), (found) => ({ ...found, epoch: 1 }))
        yield* meddle(backend, connectionKey(ahead!.id), (found) => ({ ...found, epoch: 2 * seconds }))
        yield* kill(backend, a)
        yield* until(() => b.claimed.length === 2)
        const epochs = new Map(b.claimed.map(({ owned }) => [owned.id, owned.epoch]))
        expect(epochs.get(old!.id)).toBeGreaterThanOrEqual(seconds)
        expect(epochs.get(old!.id)).toBeLessThan(seconds + 60)
        expect(epochs.get(ahead!.id)).toBe(2 * seconds + 1)
      })
  )
})
