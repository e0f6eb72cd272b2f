import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { FAILED } from "../../src/domain/ConnectionStatus.js"
import { connectionKey, INDEX_KEY, instanceKey } from "../../src/domain/stored/Keys.js"
import { joined, meddle, until, writes } from "../membership/clockedInstances.js"
import { connection, FRESH, created, claims, page, record, restarted } from "./oneInstance.js"

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
