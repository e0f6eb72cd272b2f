import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { uuidv7, uuidv8FromRequest } from "../../src/common/Uuid.js"
import { CONNECTED, CONNECTING, FAILED } from "../../src/domain/ConnectionStatus.js"
import { connectionKey, INDEX_KEY, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import type { Owned } from "../../src/ownership/ConnectionStore.js"
import type { NewConnection } from "../../src/ownership/operations/Create.js"
import { type Instance, joined, meddle, start, stored, until, writes } from "../membership/instances.js"
import { shiftedClock } from "../support/shiftedClock.js"

const connection = (over: Partial<NewConnection> = {}): NewConnection => ({
  id: uuidv7(0),
  spec: { url: "wss://example.com/feed" },
  specHash: "hash",
  tags: { a: "b" },
  topic: "topic",
  status: CONNECTING,
  createdAt: 1_000,
  ...over
})

const FRESH = { keepUnknown: false } as const
const REPEATABLE = { keepUnknown: true } as const

const created = (one: Instance, asked = connection(), options: { keepUnknown: boolean } = FRESH) =>
  Effect.flatMap(one.store.create(asked, options), (made) =>
    made._tag === "Created" ? Effect.succeed(made.owned) : Effect.dieMessage(`${asked.id} exists`)
  )

/** Runs what takes time, stepping the clock until it is done. */
const stepping = <A, E, R>(effect: Effect.Effect<A, E, R>, limit = 400) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(Effect.either(effect))
    for (let i = 0; i < limit; i++) {
      const done = yield* Fiber.poll(fiber)
      if (Option.isSome(done)) break
      yield* TestClock.adjust("50 millis")
    }
    return yield* Effect.flatten(Fiber.join(fiber))
  })

const claims = (one: Instance) =>
  Effect.map(stepping(Stream.runCollect(one.store.claimOwn)), (all) => Chunk.toReadonlyArray(all))

const page = (backend: MemoryBackend, n = 0) => stored(backend, pageKey("one", n))
const record = (backend: MemoryBackend, id: string) => stored(backend, connectionKey(id))

/** The same instance id in a new process, the old one killed. */
const restarted = (backend: MemoryBackend) => joined(backend, { pid: 2, gone: (pid) => pid === 1 })

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

describe("writing and removing", () => {
  it.scoped("keeps the fields of a newer version, and its bytes as bytes", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const spec = { url: "wss://example.com", handshake: [{ sendBinary: Uint8Array.of(0, 255, 128) }] }
      const owned = yield* created(one, connection({ spec }))
      expect(record(backend, owned.id).spec.handshake[0].sendBinary).toBe("AP+A")
      yield* meddle(backend, connectionKey(owned.id), (value) => ({
        ...value,
        newer: { a: 1 },
        spec: { ...value.spec, future: [1, 2] }
      }))
      yield* one.store.update(owned, { tags: { c: "d" } })
      expect(record(backend, owned.id)).toMatchObject({
        v: 1,
        newer: { a: 1 },
        tags: { c: "d" },
        spec: { future: [1, 2], handshake: [{ sendBinary: "AP+A" }] }
      })
      const read = Option.getOrThrow(yield* one.store.read(owned.id))
      expect(read.spec.handshake![0]!.sendBinary).toEqual(Uint8Array.of(0, 255, 128))
    })
  )

  it.scoped("refuses a record of another schema version, and does not overwrite it", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      yield* meddle(backend, connectionKey(owned.id), (value) => ({ ...value, v: 2 }))
      const refusal = yield* Effect.flip(one.store.read(owned.id))
      expect(refusal.message).toContain(`${connectionKey(owned.id)} has schema version 2`)
      yield* Effect.flip(one.store.update(owned, { topic: "x" }))
      expect(record(backend, owned.id)).toMatchObject({ v: 2, topic: "topic" })
    })
  )

  it.scoped("lets go of a connection whose record names somebody else", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      const gone: Array<string> = []
      one.store.onDisowned(({ id }) => gone.push(id))
      yield* meddle(backend, connectionKey(owned.id), (value) => ({ ...value, owner: "two", epoch: value.epoch + 1 }))
      one.store.note(owned, () => ({ status: FAILED }))
      yield* until(() => gone.length > 0)
      expect(gone).toEqual([owned.id])
      expect(owned.isOwned()).toBe(false)
      expect(record(backend, owned.id)).toMatchObject({ owner: "two", status: CONNECTING })
      yield* until(() => page(backend).ids.length === 0)
    })
  )

  it.scoped("a removal leaves a tombstone with the epoch, for an hour, and nothing on the page", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      one.store.note(owned, () => ({ status: FAILED }))
      one.faults.only = ({ key }) => key === connectionKey(owned.id)
      one.faults.loseResponse(1)
      const error = yield* stepping(Effect.either(one.store.remove(owned)))
      expect(error).toMatchObject({ left: { outcome: "unknown" } })
      yield* until(() => page(backend).ids.length === 0)
      expect(record(backend, owned.id)).toMatchObject({ v: 1, id: owned.id, tombstone: true, epoch: owned.epoch })
      expect(Option.isNone(yield* one.store.read(owned.id))).toBe(true)
      const now = yield* Clock.currentTimeMillis
      expect(backend.read(connectionKey(owned.id), now + 3_590_000)).toBeDefined()
      expect(backend.read(connectionKey(owned.id), now + 3_600_000)).toBeUndefined()
    })
  )

  it.scoped("a removal while the store is down is unknown, and is done when the store is back", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      one.faults.unavailable = true
      expect(yield* Effect.flip(one.store.remove(owned))).toMatchObject({ outcome: "unknown" })
      yield* TestClock.adjust("3 seconds")
      expect(record(backend, owned.id)).toMatchObject({ status: CONNECTING })
      one.faults.heal()
      yield* until(() => record(backend, owned.id).tombstone === true)
      yield* until(() => page(backend).ids.length === 0)
    })
  )

  it.scoped("flush writes what is noted at once", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      one.store.note(owned, () => ({ lastError: "first" }))
      yield* one.store.flush
      one.store.note(owned, () => ({ lastError: "second" }))
      yield* one.store.flush
      expect(record(backend, owned.id).lastError).toBe("second")
    })
  )

  it.scoped("the heartbeat counts the connections; leaving with some keeps the index entry for whoever comes", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      yield* TestClock.adjust("2 seconds")
      expect(stored(backend, instanceKey("one")).connections).toBe(1)
      one.store.release(owned)
      yield* Effect.fork(one.membership.leave)
      yield* until(() => one.membership.phase() === "left")
      yield* TestClock.adjust("1 second")
      expect(stored(backend, "websocketmanager/instances/_index").ids).toHaveProperty("one")
      expect(page(backend).ids).toEqual([owned.id])
      expect(record(backend, owned.id)).toMatchObject({ owner: "one" })
    })
  )
})

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

describe("after a restart", () => {
  it.scoped("everything is claimed with a higher epoch, and FAILED stays FAILED", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const up = yield* Effect.forEach(Array.from({ length: 300 }), () => created(one), { concurrency: "unbounded" })
      const failed = yield* created(one)
      yield* one.store.update(failed, { status: FAILED })
      yield* one.crash
      const again = yield* restarted(backend)
      const claimed = yield* claims(again)
      expect(claimed.map((c) => c.owned.id).sort()).toEqual([...up, failed].map((o) => o.id).sort())
      for (const { before, from, owned, reason } of claimed) {
        expect([from, reason]).toEqual(["one", "restart"])
        expect(owned.epoch).toBeGreaterThan(before.epoch)
        expect(record(backend, owned.id)).toMatchObject({
          epoch: owned.epoch,
          incarnation: again.lease.life().incarnation
        })
      }
      expect(record(backend, failed.id).status).toBe(FAILED)
      expect(page(backend).incarnation).toBe(again.lease.life().incarnation)
      expect(page(backend, 1).incarnation).toBe(again.lease.life().incarnation)
      const reads = again.faults.calls.filter(
        ({ key, operation }) => operation === "getMany" && !key.includes(INDEX_KEY)
      )
      expect(reads).toHaveLength(2)
    })
  )

  it.scoped("an id without a record gets a tombstone and leaves the page (killed between page and record)", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const kept = yield* created(one)
      const asked = connection()
      one.faults.only = ({ key }) => key === connectionKey(asked.id)
      one.faults.landLate(Duration.seconds(10))
      yield* Effect.fork(one.store.create(asked, FRESH))
      yield* until(() => page(backend).ids.length === 2 && writes(one, asked.id).length === 1)
      yield* one.crash
      const again = yield* restarted(backend)
      expect((yield* claims(again)).map((c) => c.owned.id)).toEqual([kept.id])
      yield* until(() => page(backend).ids.length === 1)
      expect(record(backend, asked.id)).toMatchObject({ tombstone: true })
      // the write of the killed process lands now: it meets the tombstone
      yield* until(() => one.faults.lateWrites.length === 1)
      expect(one.faults.lateWrites[0]!.outcome).toBe("VersionMismatch")
      expect(record(backend, asked.id)).toMatchObject({ tombstone: true })
    })
  )

  it.scoped("an id whose record names a living owner leaves the page, one of a dead owner is claimed", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const [theirs, orphan, removed] = [yield* created(one), yield* created(one), yield* created(one)]
      const two = yield* joined(backend, { id: "two", pid: 7 })
      const { incarnation } = two.lease.life()
      yield* meddle(backend, connectionKey(theirs.id), (value) => ({ ...value, owner: "two", incarnation }))
      yield* meddle(backend, connectionKey(orphan.id), (value) => ({ ...value, owner: "three", incarnation: "gone" }))
      yield* meddle(backend, connectionKey(removed.id), () => ({
        v: 1,
        id: removed.id,
        tombstone: true,
        epoch: 5,
        nonce: "n",
        removedAt: "1970-01-01T00:00:00.000Z"
      }))
      yield* one.crash
      const again = yield* restarted(backend)
      const claimed = yield* claims(again)
      expect(claimed).toMatchObject([{ owned: { id: orphan.id }, from: "three", reason: "dead" }])
      yield* until(() => page(backend).ids.length === 1)
      expect(record(backend, theirs.id)).toMatchObject({ owner: "two" })
      expect(record(backend, removed.id)).toMatchObject({ tombstone: true, epoch: 5 })
    })
  )

  it.scoped("a record of another schema version is left as it is, and holds nothing up", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const [newer, plain] = [yield* created(one), yield* created(one)]
      yield* meddle(backend, connectionKey(newer.id), (value) => ({ ...value, v: 2 }))
      yield* one.crash
      const again = yield* restarted(backend)
      expect((yield* claims(again)).map((c) => c.owned.id)).toEqual([plain.id])
      expect(record(backend, newer.id).v).toBe(2)
      expect(page(backend).ids).toContain(newer.id)
    })
  )

  it.scoped("an owner's record of another schema version, and a record at its limit, hold nothing up", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const [theirs, full, plain] = [yield* created(one), yield* created(one), yield* created(one)]
      yield* meddle(backend, instanceKey("two"), () => ({ v: 2 }))
      yield* meddle(backend, connectionKey(theirs.id), (value) => ({ ...value, owner: "two", incarnation: "x" }))
      yield* meddle(backend, connectionKey(full.id), (value) => {
        const filled = { ...value, nonce: "", trial: undefined, padding: "" }
        return { ...filled, padding: "x".repeat(1024 * 1024 - JSON.stringify(filled).length) }
      })
      const before = [record(backend, theirs.id), record(backend, full.id)]
      yield* one.crash
      const again = yield* restarted(backend)
      expect((yield* claims(again)).map((c) => c.owned.id)).toEqual([plain.id])
      expect([record(backend, theirs.id), record(backend, full.id)]).toEqual(before)
      expect(page(backend).ids).toEqual([theirs.id, full.id, plain.id])
    })
  )

  it.scoped("it settles what the store answers late or not at all", () =>
    Effect.gen(function* () {
      const backend = new MemoryBackend()
      const one = yield* joined(backend)
      const owned = yield* created(one)
      yield* one.crash
      const again = yield* restarted(backend)
      again.faults.only = ({ key }) => key === connectionKey(owned.id)
      again.faults.swallowResponse(1)
      const claimed = yield* claims(again)
      expect(claimed).toHaveLength(1)
      expect(record(backend, owned.id).epoch).toBe(claimed[0]!.owned.epoch)
    })
  )
})

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
