import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { uuidv8FromRequest } from "../../src/common/Uuid.js"
import { CONNECTED, CONNECTING, FAILED } from "../../src/domain/ConnectionStatus.js"
import { connectionKey, pageKey } from "../../src/domain/stored/Keys.js"
import type { Owned } from "../../src/ownership/ConnectionStore.js"
import { joined, meddle, start, until, writes } from "../membership/clockedInstances.js"
import { shiftedClock } from "../support/shiftedClock.js"
import { connection, FRESH, REPEATABLE, created, page, record } from "./oneInstance.js"
import { stepping } from "./survivors.js"

describe("creating", () => {
  it.scoped("costs two writes before its answer, page first, and no read", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      yield* created(one)
      one.faults.calls.length = 0
      const asked = connection()
      const owned = yield* created(one, asked)
      expect(one.faults.calls).toMatchObject([
        { operation: "replace", key: pageKey("one", 0) },
        { operation: "create", key: connectionKey(asked.id) }
      ])
      expect(page(backend).ids).toContain(asked.id)
      expect(record(backend, asked.id)).toMatchObject({
        v: 1,
        id: asked.id,
        spec: { url: "wss://example.com/feed" },
        owner: "one",
        incarnation: one.lease.life().incarnation,
        epoch: owned.epoch,
        status: CONNECTING,
        tags: { a: "b" },
        topic: "topic"
      })
    })
  )

  it.scoped("costs one write behind it, however often the status changes within 5 seconds", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      one.faults.calls.length = 0
      one.store.note(owned, () => ({ status: CONNECTING }))
      yield* TestClock.adjust("1 second")
      expect(writes(one, "/connections/")).toEqual([])
      one.store.note(owned, () => ({ status: CONNECTED, connectedAt: 5_000 }))
      yield* TestClock.adjust("1 second")
      expect(record(backend, owned.id)).toMatchObject({
        status: CONNECTED,
        connectedAt: "1970-01-01T00:00:05.000Z"
      })
      let sequence = 0
      for (let i = 0; i < 1000; i++) one.store.note(owned, () => ({ last: { epoch: 1, sequence: ++sequence, at: 1 } }))
      yield* TestClock.adjust("3800 millis")
      expect(writes(one, "/connections/")).toHaveLength(1)
      yield* TestClock.adjust("1 second")
      expect(writes(one, "/connections/")).toHaveLength(2)
      expect(record(backend, owned.id)).toMatchObject({ status: CONNECTED, last: { sequence: 1000 } })
      yield* TestClock.adjust("10 seconds")
      expect(writes(one, "/connections/")).toHaveLength(2)
    })
  )

  it.scoped("a wall clock that is set back holds no status up", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("2 hours")
      let behind = 0
      const movable = yield* shiftedClock(() => -behind)
      const backend = new MemoryBackend()
      const one = yield* Effect.withClock(start(backend), movable)
      yield* until(one.lease.valid)
      const owned = yield* created(one)
      one.store.note(owned, () => ({ status: CONNECTED }))
      yield* until(() => record(backend, owned.id)["status"] === CONNECTED)
      behind = 3_600_000
      one.store.note(owned, () => ({ status: FAILED }))
      yield* TestClock.adjust("6 seconds")
      expect(record(backend, owned.id)).toMatchObject({ status: FAILED })
    })
  )

  it.scoped("groups what comes while a page is being written, and opens page 1 for the 257th", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      one.faults.calls.length = 0
      yield* Effect.forEach(Array.from({ length: 256 }), () => created(one), { concurrency: "unbounded" })
      expect(writes(one, pageKey("one", 0)).length).toBeLessThanOrEqual(16)
      expect(page(backend).ids).toHaveLength(256)
      expect(page(backend, 1)).toBeUndefined()
      const last = yield* created(one)
      expect(page(backend, 1)).toMatchObject({ ids: [last.id], sealed: false })
    })
  )

  it.scoped("is refused while the store is down, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const asked = connection()
      one.faults.unavailable = true
      const error = yield* Effect.flip(one.store.create(asked, FRESH))
      expect(error).toMatchObject({ _tag: "StateStoreUnavailable" })
      expect("outcome" in error && error.outcome).toBeFalsy()
      one.faults.heal()
      yield* TestClock.adjust("5 seconds")
      expect(record(backend, asked.id)).toBeUndefined()
      expect(page(backend)).toBeUndefined()
    })
  )

  it.scoped("finds out what became of a page and of a record whose answers were lost", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      for (const lost of ["/instances/one/connections/", "websocketmanager/connections/"]) {
        one.faults.only = ({ key }) => key.includes(lost)
        one.faults.swallowResponse(1)
        const owned = yield* stepping(created(one))
        expect(owned.isOwned()).toBe(true)
        expect(page(backend).ids).toContain(owned.id)
        expect(record(backend, owned.id).epoch).toBe(owned.epoch)
      }
    })
  )

  it.scoped("a record that lands late, after it was repeated, changes nothing", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      one.faults.only = ({ key }) => key.startsWith("websocketmanager/connections/")
      one.faults.landLate(Duration.seconds(1))
      const owned = yield* stepping(created(one))
      const before = record(backend, owned.id)
      yield* until(() => one.faults.lateWrites.length === 1)
      expect(one.faults.lateWrites[0]!.outcome).toBe("VersionMismatch")
      expect(record(backend, owned.id)).toEqual(before)
      yield* stepping(one.store.update(owned, { topic: "other" }))
      expect(record(backend, owned.id).topic).toBe("other")
    })
  )

  it.scoped("ends by a tombstone what is unknown at its deadline, so that it cannot land later", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const asked = connection()
      one.faults.only = ({ key }) => key === connectionKey(asked.id)
      one.faults.landLate(Duration.seconds(20), 1000)
      const error = yield* stepping(Effect.flip(one.store.create(asked, FRESH)))
      expect(error).toMatchObject({ _tag: "StateStoreUnavailable", outcome: "unknown" })
      one.faults.heal()
      yield* until(() => record(backend, asked.id) !== undefined)
      expect(record(backend, asked.id)).toMatchObject({ tombstone: true })
      yield* TestClock.adjust("20 seconds")
      expect(new Set(one.faults.lateWrites.map((late) => late.outcome))).toEqual(new Set(["VersionMismatch"]))
      expect(record(backend, asked.id)).toMatchObject({ tombstone: true })
      expect(page(backend).ids).toEqual([])
    })
  )

  it.scoped("keeps what had a request_id, and hands it over when it landed after all", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const asked = connection({ id: uuidv8FromRequest("r") })
      const late: Array<Owned> = []
      one.faults.only = ({ key }) => key === connectionKey(asked.id)
      one.faults.landLate(Duration.seconds(20), 1000)
      yield* stepping(Effect.flip(one.store.create(asked, { ...REPEATABLE, onLate: (owned) => late.push(owned) })))
      one.faults.heal()
      yield* until(() => late.length > 0)
      expect(late[0]!.isOwned()).toBe(true)
      expect(record(backend, asked.id)).toMatchObject({ owner: "one", epoch: late[0]!.epoch })
    })
  )

  it.scoped("a caller that gives up while it is being created leaves a tombstone", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const asked = connection()
      one.faults.only = ({ key }) => key === connectionKey(asked.id)
      one.faults.swallowResponse(1)
      const fiber = yield* Effect.fork(created(one, asked))
      yield* until(() => record(backend, asked.id) !== undefined)
      yield* Fiber.interrupt(fiber)
      yield* until(() => record(backend, asked.id).tombstone === true)
      yield* until(() => page(backend).ids.length === 0)
      expect(record(backend, asked.id)).toMatchObject({ tombstone: true })
    })
  )

  it.scoped("a repeated request_id meets the record; after its removal it is created anew, with a greater epoch", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const asked = connection({ id: uuidv8FromRequest("r") })
      const first = yield* created(one, asked, REPEATABLE)
      const again = yield* one.store.create(asked, REPEATABLE)
      expect(again).toMatchObject({ _tag: "Exists", record: { id: asked.id, epoch: first.epoch } })
      yield* one.store.remove(first)
      const second = yield* created(one, asked, REPEATABLE)
      expect(second.epoch).toBeGreaterThan(first.epoch)
      expect(first.isOwned()).toBe(false)
      expect(page(backend).ids).toEqual([asked.id])
    })
  )

  it.scoped("of two calls with one request_id at the same time one creates, the other meets the record", () =>
    Effect.gen(function* () {
      const one = yield* joined(new MemoryBackend())
      const asked = connection({ id: uuidv8FromRequest("r") })
      const made = yield* Effect.all([one.store.create(asked, REPEATABLE), one.store.create(asked, REPEATABLE)], {
        concurrency: "unbounded"
      })
      expect(made.map((m) => m._tag).sort()).toEqual(["Created", "Exists"])
    })
  )

  it.scoped("an epoch is at least the Unix seconds, and grows over a tombstone of a clock that was ahead", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      yield* TestClock.setTime(1_800_000_000_000)
      const one = yield* joined(backend)
      const asked = connection({ id: uuidv8FromRequest("r") })
      const first = yield* created(one, asked, REPEATABLE)
      expect(first.epoch).toBe(1_800_000_000)
      yield* one.store.remove(first)
      yield* meddle(backend, connectionKey(asked.id), (value) => ({ ...value, epoch: 1_900_000_000 }))
      expect((yield* created(one, asked, REPEATABLE)).epoch).toBe(1_900_000_001)
    })
  )

  it.scoped("a record over 256 KiB is InvalidRequest, and nothing is written", () =>
    Effect.gen(function* () {
      const one = yield* joined(new MemoryBackend())
      one.faults.calls.length = 0
      const asked = connection({ spec: { url: `wss://example.com/${"x".repeat(256 * 1024)}` } })
      const error = yield* Effect.flip(one.store.create(asked, FRESH))
      expect(error._tag).toBe("InvalidRequest")
      expect(one.faults.calls).toEqual([])
    })
  )
})
