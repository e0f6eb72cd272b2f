/** What goes wrong without each step of a takeover (src/ownership/README.md, Taking over), one scenario each: the end of a takeover, and several survivors. */
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { connectionKey, INDEX_KEY, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import { meddle, until } from "../membership/clockedInstances.js"
import {
  create,
  createMany,
  fence,
  heartbeat,
  index,
  isDone,
  kill,
  member,
  onPages,
  page,
  reclaim,
  record,
  stepping,
  type Survivor,
  victimAndSurvivor
} from "./survivors.js"

/** `a` is killed and taken over by `b`, which gets no further than the index. */
const takenOverButForTheIndex = (backend: MemoryBackend, a: Survivor, b: Survivor) =>
  Effect.gen(function* () {
    b.faults.only = ({ key, operation }) => key === INDEX_KEY && operation === "get"
    b.faults.blackhole = true
    yield* kill(backend, a)
    yield* until(() => heartbeat(backend, "a").status === "done")
  })

const ids = (one: Survivor) => one.claimed.map(({ owned }) => owned.id)

describe("finishing", () => {
  it.scoped("removes the index entry by id and incarnation: another life of that id keeps its own", () =>
    Effect.gen(function* () {
      const { a, b, backend } = yield* victimAndSurvivor
      yield* create(a)
      yield* takenOverButForTheIndex(backend, a, b)
      yield* meddle(backend, INDEX_KEY, (found) => ({ ...found, ids: { ...found.ids, a: "another" } }))
      b.faults.heal()
      yield* TestClock.adjust("10 seconds")
      expect(index(backend)["a"]).toBe("another")
    })
  )

  it.scoped("who asks anew for the victims hears of none that is done, or whose id has joined again", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const [a, c] = [
        yield* member(backend, "a", { reclaims: false }),
        yield* member(backend, "c", { reclaims: false })
      ]
      const b = yield* member(backend, "b")
      yield* createMany(a, 2)
      const heard = Effect.gen(function* () {
        const found = yield* Effect.fork(
          Stream.runCollect(Stream.interruptAfter(b.membership.victims, "1 millis")).pipe(
            Effect.map((victims) => Chunk.toReadonlyArray(victims).map(({ id }) => id))
          )
        )
        yield* TestClock.adjust("1 millis")
        return yield* Fiber.join(found)
      })
      b.faults.only = ({ key }) => key.startsWith(pageKey("a", 0)) || key.startsWith(pageKey("c", 0))
      b.faults.unavailable = true
      yield* kill(backend, a)
      yield* kill(backend, c)
      yield* until(() => b.victims.length === 2)
      expect((yield* heard).sort()).toEqual(["a", "c"])
      yield* member(backend, "c", { reclaims: false })
      yield* TestClock.adjust("3 seconds")
      expect(yield* heard).toEqual(["a"])
      b.faults.heal()
      yield* until(() => isDone(backend, "a"))
      yield* TestClock.adjust("3 seconds")
      expect(yield* heard).toEqual([])
    })
  )

  it.scoped("an entry that a survivor left standing at its very end is removed by the next that joins", () =>
    Effect.gen(function* () {
      const { a, b, backend } = yield* victimAndSurvivor
      yield* create(a)
      yield* takenOverButForTheIndex(backend, a, b)
      yield* kill(backend, b)
      expect(index(backend)).toHaveProperty("a")
      yield* member(backend, "c")
      yield* until(() => isDone(backend, "a") && isDone(backend, "b"))
      expect(Object.keys(index(backend))).toEqual(["c"])
    })
  )

  it.scoped("waits for the last id: one that cannot be settled keeps the record, the page and the entry", () =>
    Effect.gen(function* () {
      const { a, b, backend } = yield* victimAndSurvivor
      const [stuck] = yield* createMany(a, 3)
      b.faults.only = ({ key, operation }) => key === connectionKey(stuck!.id) && operation === "replace"
      b.faults.unavailable = true
      yield* kill(backend, a)
      yield* until(() => b.claimed.length === 2)
      yield* TestClock.adjust("5 seconds")
      expect(heartbeat(backend, "a").status).toBe("dead")
      expect(page(backend, "a").ids).toHaveLength(3)
      expect(index(backend)).toHaveProperty("a")
      b.faults.heal()
      yield* until(() => isDone(backend, "a"))
      expect(b.claimed).toHaveLength(3)
    })
  )
})

describe("survivors", () => {
  it.scoped(
    "one that crashes after any of its writes is taken over like the rest by another, and nothing is lost",
    () =>
      Effect.gen(function* () {
        for (let steps = 0, more = true; more; steps++) {
          const backend = new MemoryBackend()
          const a = yield* member(backend, "a", { reclaims: false })
          const b = yield* member(backend, "b", { reclaims: false })
          const c = yield* member(backend, "c", { reclaims: false })
          const owned = yield* createMany(a, 3)
          yield* meddle(backend, pageKey("a", 0), (found) => ({ ...found, ids: [...found.ids, "no record"] }))
          let written = 0
          b.faults.only = ({ key, operation }) => {
            if (!["create", "replace", "remove"].includes(operation) || key === instanceKey("b")) return false
            // every later call of a killed process is none
            if (written++ === steps) b.faults.only = () => (b.faults.blackhole = true)
            return written > steps
          }
          b.faults.blackhole = true
          yield* reclaim(b)
          yield* kill(backend, a)
          yield* until(() => written > steps || isDone(backend, "a"), "250 millis")
          more = written > steps
          yield* kill(backend, b)
          yield* reclaim(c)
          yield* until(() => isDone(backend, "a") && isDone(backend, "b"), "250 millis")
          for (const { epoch, id } of owned) {
            expect(record(backend, id).owner).toBe("c")
            expect(record(backend, id).epoch).toBeGreaterThan(epoch)
          }
          expect(new Set(onPages(backend, "c"))).toEqual(new Set(owned.map(({ id }) => id)))
          expect(c.claimed).toHaveLength(3)
          yield* c.crash
          if (!more) expect(steps).toBeGreaterThan(8)
        }
      }),
    120_000
  )

  it.scoped(
    "two side by side claim each connection once, also what was placed on one that does not come; that after the grace",
    () =>
      Effect.gen(function* () {
        const { a, b, backend } = yield* victimAndSurvivor
        const c = yield* member(backend, "c")
        yield* member(backend, "d", { reclaims: false })
        const owned = yield* createMany(a, 60)
        yield* until(() => [b, c].every(({ membership }) => membership.live().length === 4))
        yield* kill(backend, a)
        yield* until(() => page(backend, "a").sealed === true)
        const clock = yield* Effect.clock
        const began = clock.unsafeCurrentTimeMillis()
        yield* until(() => b.claimed.length + c.claimed.length === 60)
        const times = [...b.claimed, ...c.claimed].map(({ at }) => at - began)
        const late = times.filter((time) => time >= 2_400)
        // a third or so was placed on d; the others went at once
        expect(late.length).toBeGreaterThan(5)
        expect(late.length).toBeLessThan(40)
        for (const time of times) expect(time < 1_000 || time >= 2_400).toBe(true)
        expect(Math.max(...times)).toBeLessThan(6_000)
        expect(new Set([...ids(b), ...ids(c)])).toEqual(new Set(owned.map(({ id }) => id)))
        for (const one of [b, c])
          for (const { owned: mine } of one.claimed) {
            expect(record(backend, mine.id)).toMatchObject({ owner: one.id, epoch: mine.epoch })
          }
        yield* until(() => isDone(backend, "a"))
        yield* TestClock.adjust("5 seconds")
        expect(new Set(onPages(backend, "b"))).toEqual(new Set(ids(b)))
        expect(new Set(onPages(backend, "c"))).toEqual(new Set(ids(c)))
      }),
    60_000
  )

  it.scoped(
    "claim no faster than WSM_CLAIM_RATE",
    () =>
      Effect.gen(function* () {
        const backend = new MemoryBackend()
        const a = yield* member(backend, "a", { reclaims: false })
        const b = yield* member(backend, "b", { settings: { claimRate: 32 } })
        yield* createMany(a, 100)
        yield* kill(backend, a)
        yield* until(() => b.claimed.length === 100)
        const times = b.claimed.map(({ at }) => at)
        for (const from of times) {
          expect(times.filter((at) => at >= from && at < from + 1000).length).toBeLessThanOrEqual(32 + 4)
        }
        expect(times.at(-1)! - times[0]!).toBeLessThan(4_000)
      }),
    60_000
  )

  it.scoped("an id on my page that nobody holds leaves it, or is claimed where it is mine by its record", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const b = yield* member(backend, "b")
      const c = yield* member(backend, "c", { reclaims: false })
      const [theirs, mine, none] = yield* createMany(b, 3)
      const { incarnation } = c.lease.life()
      yield* meddle(backend, connectionKey(theirs!.id), (found) => ({ ...found, owner: "c", incarnation }))
      yield* meddle(backend, connectionKey(none!.id), () => ({
        v: 1,
        id: none!.id,
        tombstone: true,
        epoch: 7,
        nonce: "",
        removedAt: "1970-01-01T00:00:00.000Z"
      }))
      for (const owned of [theirs!, mine!, none!]) b.store.release(owned)
      yield* until(() => onPages(backend, "b").length === 1)
      yield* until(() => b.claimed.length === 1)
      expect(b.claimed).toMatchObject([{ from: "b", reason: "restart", owned: { id: mine!.id } }])
      expect(record(backend, mine!.id)).toMatchObject({ owner: "b", epoch: b.claimed[0]!.owned.epoch })
      expect(record(backend, theirs!.id).owner).toBe("c")
    })
  )

  it.scoped("what an instance that left still held is claimed with the reason left", () =>
    Effect.gen(function* () {
      const { a, b, backend } = yield* victimAndSurvivor
      const owned = yield* create(a)
      a.store.release(owned)
      yield* stepping(a.membership.leave)
      yield* until(() => isDone(backend, "a"))
      expect(b.claimed).toMatchObject([{ from: "a", reason: "left", owned: { id: owned.id } }])
    })
  )

  it.scoped("what an instance left before it could read its own pages is found days later, under another name", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const a = yield* member(backend, "a", { reclaims: false })
      const owned = yield* create(a)
      a.faults.only = ({ key }) => key === pageKey("a", 0)
      a.faults.unavailable = true
      yield* fence(backend, "a")
      yield* until(owned.life.ended)
      yield* until(a.lease.valid)
      yield* TestClock.adjust("3 seconds")
      yield* stepping(a.membership.leave)
      expect(heartbeat(backend, "a").status).toBe("left")
      yield* a.crash
      yield* TestClock.adjust("50 hours")
      const b = yield* member(backend, "b")
      yield* until(() => isDone(backend, "a"))
      expect(ids(b)).toEqual([owned.id])
    })
  )
})
