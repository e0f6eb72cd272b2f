/** What goes wrong without each step of a takeover (src/ownership/README.md, Taking over), one scenario each: the pages. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { instanceKey, PAGE_SIZE, pageKey } from "../../src/domain/stored/Keys.js"
import { meddle, until } from "../membership/clockedInstances.js"
import {
  connection,
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
  record,
  type Survivor,
  victimAndSurvivor
} from "./survivors.js"

const ids = (one: Survivor) => one.claimed.map(({ owned }) => owned.id)

describe("the pages of a victim", () => {
  it.scoped("are sealed: a fenced instance that has not noticed can add nothing to them", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      // full with what it creates: the next one would go onto a page of its own
      const full = Array.from({ length: PAGE_SIZE - 3 }, (_, n) => `without-a-record-${n}`)
      const former = { v: 1, incarnation: "former", sealed: false, ids: full, nonce: "" }
      yield* meddle(backend, pageKey("a", 0), () => former)
      const a = yield* member(backend, "a", { reclaims: false })
      const b = yield* member(backend, "b")
      const owned = yield* createMany(a, 3)
      expect(page(backend, "a").ids).toHaveLength(PAGE_SIZE)
      // it reads and writes its record no more, and its lease still runs
      a.faults.only = ({ key }) => key.includes(instanceKey("a")) && !key.includes("/connections/")
      a.faults.blackhole = true
      yield* fence(backend, "a")
      yield* until(() => page(backend, "a").sealed === true)
      expect(page(backend, "a", 1)).toMatchObject({ sealed: true, end: true, ids: [] })
      expect(a.lease.valid()).toBe(true)
      const late = connection()
      yield* Effect.fork(Effect.ignore(create(a, late)))
      yield* until(() => isDone(backend, "a"))
      expect(record(backend, late.id)).toBeUndefined()
      expect(onPages(backend, "b")).toHaveLength(3)
      expect(new Set(ids(b))).toEqual(new Set(owned.map(({ id }) => id)))
    })
  )

  it.scoped(
    "are the victim's again when it comes back under its id: whoever takes over stops, the index entry stays",
    () =>
      Effect.gen(function* () {
        const { a, b, backend } = yield* victimAndSurvivor
        const owned = yield* createMany(a, 3)
        // b gets no further than the pages
        b.faults.only = ({ key }) => owned.some(({ id }) => key.includes(id))
        b.faults.unavailable = true
        yield* kill(backend, a)
        yield* until(() => page(backend, "a").sealed === true)
        const again = yield* member(backend, "a")
        yield* until(
          () =>
            again.claimed.length === 0 &&
            again.store !== undefined &&
            record(backend, owned[0]!.id).epoch > owned[0]!.epoch
        )
        b.faults.heal()
        yield* TestClock.adjust("5 seconds")
        const { incarnation } = again.lease.life()
        expect(index(backend)["a"]).toBe(incarnation)
        expect(heartbeat(backend, "a")).toMatchObject({ status: "alive", incarnation })
        expect(page(backend, "a")).toMatchObject({ sealed: false, incarnation })
        expect(new Set(page(backend, "a").ids)).toEqual(new Set(owned.map(({ id }) => id)))
        expect(b.claimed).toEqual([])
      })
  )
})
