import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { CONNECTING, FAILED } from "../../src/domain/ConnectionStatus.js"
import { connectionKey, instanceKey } from "../../src/domain/stored/Keys.js"
import { joined, meddle, stored, until } from "../membership/clockedInstances.js"
import { connection, created, page, record } from "./oneInstance.js"
import { stepping } from "./survivors.js"

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
