/** What goes wrong without each step of a takeover (src/ownership/README.md, Taking over), one scenario each: the ids on a victim's pages. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { uuidv8FromRequest } from "../../src/common/Uuid.js"
import { connectionKey, pageKey } from "../../src/domain/stored/Keys.js"
import { meddle, until } from "../membership/clockedInstances.js"
import {
  connection,
  create,
  createMany,
  heartbeat,
  index,
  isDone,
  kill,
  member,
  onPages,
  page,
  record,
  type Survivor,
  victimAndSurvivor
} from "./survivors.js"

const REPEATABLE = { keepUnknown: true } as const

const ids = (one: Survivor) => one.claimed.map(({ owned }) => owned.id)

describe("an id on a victim's page", () => {
  it.scoped("is an orphan when a third owner of it has ended, and left alone when that one lives", () =>
    Effect.gen(function* () {
      const { a, b, backend } = yield* victimAndSurvivor
      const c = yield* member(backend, "c", { reclaims: false })
      const [dead, gone, alive] = yield* createMany(a, 3)
      const names = (owner: string, incarnation: string) => (found: object) => ({ ...found, owner, incarnation })
      yield* meddle(backend, connectionKey(dead!.id), names("c", "a former incarnation"))
      yield* meddle(backend, connectionKey(gone!.id), names("nobody", "ever"))
      yield* meddle(backend, connectionKey(alive!.id), names("c", c.lease.life().incarnation))
      yield* kill(backend, a)
      yield* until(() => isDone(backend, "a"))
      expect(new Set(ids(b))).toEqual(new Set([dead!.id, gone!.id]))
      expect(new Map(b.claimed.map(({ from, owned, reason }) => [owned.id, [from, reason]]))).toEqual(
        new Map([
          [dead!.id, ["c", "dead"]],
          [gone!.id, ["nobody", "dead"]]
        ])
      )
      expect(record(backend, alive!.id)).toMatchObject({ owner: "c", epoch: alive!.epoch })
    })
  )

  it.scoped("without a record gets a tombstone, before a late create lands", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const a = yield* member(backend, "a", { reclaims: false })
      yield* member(backend, "b")
      const asked = connection({ id: uuidv8FromRequest("late") })
      a.faults.only = ({ key }) => key === connectionKey(asked.id)
      a.faults.landLate(Duration.seconds(20), 1000)
      yield* Effect.fork(Effect.ignore(a.store.create(asked, REPEATABLE)))
      yield* until(() => page(backend, "a")?.ids.length === 1)
      yield* TestClock.adjust("100 millis")
      yield* kill(backend, a)
      yield* until(() => isDone(backend, "a"))
      expect(record(backend, asked.id)).toMatchObject({ tombstone: true })
      yield* until(() => a.faults.lateWrites.length > 0)
      expect(new Set(a.faults.lateWrites.map(({ outcome }) => outcome))).toEqual(new Set(["VersionMismatch"]))
      expect(record(backend, asked.id)).toMatchObject({ tombstone: true })
    })
  )

  it.scoped("with a tombstone gets it written again, before a late create over it lands", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const a = yield* member(backend, "a", { reclaims: false })
      yield* member(backend, "b")
      const asked = connection({ id: uuidv8FromRequest("again") })
      yield* a.store.remove(yield* create(a, asked))
      const { epoch } = record(backend, asked.id)
      a.faults.only = ({ key, operation }) => key === connectionKey(asked.id) && operation === "replace"
      a.faults.landLate(Duration.seconds(20), 1000)
      yield* Effect.fork(Effect.ignore(a.store.create(asked, REPEATABLE)))
      yield* until(() => page(backend, "a")?.ids.length === 1)
      yield* TestClock.adjust("100 millis")
      yield* kill(backend, a)
      yield* until(() => isDone(backend, "a"))
      yield* until(() => a.faults.lateWrites.length > 0)
      expect(new Set(a.faults.lateWrites.map(({ outcome }) => outcome))).toEqual(new Set(["VersionMismatch"]))
      expect(record(backend, asked.id)).toMatchObject({ tombstone: true, epoch })
    })
  )

  it.scoped("that was offered to the victim has its handover taken out, before the victim's late claim lands", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const a = yield* member(backend, "a", { reclaims: false })
      const c = yield* member(backend, "c")
      const owned = yield* create(c)
      const { incarnation } = a.lease.life()
      expect(yield* c.store.offerHandover(owned, { id: "a", incarnation })).toBe(true)
      a.faults.only = ({ key, operation }) => key === connectionKey(owned.id) && operation === "replace"
      a.faults.landLate(Duration.seconds(20), 1000)
      yield* Effect.fork(Effect.ignore(a.store.claimHandover(owned.id, owned.epoch)))
      yield* until(() => page(backend, "a")?.ids.length === 1)
      yield* TestClock.adjust("100 millis")
      yield* kill(backend, a)
      yield* until(() => isDone(backend, "a"))
      yield* until(() => a.faults.lateWrites.length > 0)
      expect(new Set(a.faults.lateWrites.map(({ outcome }) => outcome))).toEqual(new Set(["VersionMismatch"]))
      expect(record(backend, owned.id)).toMatchObject({ owner: "c", epoch: owned.epoch })
      expect(record(backend, owned.id).handover).toBeUndefined()
      // it adopts what somebody else wrote, and owns it as before
      expect(yield* c.store.takeBack(owned)).toBe(true)
      expect(owned.isOwned()).toBe(true)
    })
  )

  it.scoped("is judged by its record: who believes to own it, and was told late, lets go of it first", () =>
    Effect.gen(function* () {
      const { a, b, backend } = yield* victimAndSurvivor
      const mine = yield* create(b)
      const told: Array<string> = []
      b.store.onDisowned(({ id }) => told.push(id))
      yield* create(a)
      const { incarnation } = a.lease.life()
      const epoch = mine.epoch + 5
      yield* meddle(backend, connectionKey(mine.id), (found) => ({ ...found, owner: "a", incarnation, epoch }))
      yield* meddle(backend, pageKey("a", 0), (found) => ({ ...found, ids: [...found.ids, mine.id] }))
      yield* kill(backend, a)
      yield* until(() => isDone(backend, "a"))
      expect(told).toEqual([mine.id])
      expect(mine.isOwned()).toBe(false)
      const claimed = b.claimed.find(({ owned }) => owned.id === mine.id)
      expect(claimed?.owned.isOwned()).toBe(true)
      expect(record(backend, mine.id)).toMatchObject({ owner: "b", epoch: claimed?.owned.epoch })
      expect(claimed!.owned.epoch).toBeGreaterThan(epoch)
      expect(onPages(backend, "b")).toContain(mine.id)
    })
  )

  it.scoped(
    "of another schema version stays as it is, and so does its page and the index entry; the others are claimed",
    () =>
      Effect.gen(function* () {
        const { a, b, backend } = yield* victimAndSurvivor
        const [newer, ...others] = yield* createMany(a, 4)
        yield* meddle(backend, connectionKey(newer!.id), (found) => ({ ...found, v: 2 }))
        yield* kill(backend, a)
        yield* until(() => b.claimed.length === 3)
        yield* TestClock.adjust("5 seconds")
        expect(new Set(ids(b))).toEqual(new Set(others.map(({ id }) => id)))
        expect(record(backend, newer!.id)).toMatchObject({ v: 2, owner: "a" })
        expect(page(backend, "a").ids).toContain(newer!.id)
        expect(heartbeat(backend, "a").status).toBe("dead")
        expect(index(backend)).toHaveProperty("a")
      })
  )
})
