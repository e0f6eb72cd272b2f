import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import { StateStoreUnavailable } from "../../src/domain/Errors.js"
import { encodeHeartbeat, encodeIndex, type HeartbeatStatus } from "../../src/domain/stored/InstanceRecord.js"
import { INDEX_KEY, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import type { Incarnation } from "../../src/membership/lease/Lease.js"
import * as IndexCleanup from "../../src/ownership/takeover/IndexCleanup.js"
import { StateStore } from "../../src/ports/StateStore.js"

const record = (id: string, status: HeartbeatStatus) =>
  encodeHeartbeat({
    id,
    status,
    incarnation: `of-${id}`,
    address: "http://127.0.0.1:5001",
    startedAt: "2027-01-01T00:00:00.000Z",
    bootId: "boot",
    pidNamespace: "ns",
    pid: 1,
    processStart: "1",
    beat: 1,
    intervalMs: 2000,
    ttlMs: 6000,
    connections: 0,
    nonce: "n",
    unknown: {}
  })

const index = (ids: ReadonlyArray<string>) =>
  encodeIndex({ ids: Object.fromEntries(ids.map((id) => [id, `of-${id}`])), nonce: "n", unknown: {} })

it.scoped(
  "entries of who is done, or whose record and pages are gone, leave the index, whenever that comes to be",
  () =>
    Effect.gen(function* () {
      const backend = new MemoryState.MemoryBackend()
      const store = Context.get(yield* Layer.build(MemoryState.layer(backend)), StateStore)
      const there = () => Object.keys(JSON.parse(backend.entries.get(INDEX_KEY)!.value).ids)
      const life: Incarnation = {
        incarnation: "mine",
        valid: () => true,
        ended: () => false,
        storeAway: () => false,
        awaitEnd: Effect.never,
        remaining: () => 1
      }
      yield* store.create(INDEX_KEY, index(["alive", "done", "expired", "lost"]))
      yield* store.create(instanceKey("alive"), record("alive", "alive"))
      yield* store.create(instanceKey("done"), record("done", "done"))
      yield* store.create(pageKey("lost", 0), "{}")
      let away = true
      const reached = {
        ...store,
        getMany: (keys: ReadonlyArray<string>) =>
          Effect.suspend(() => (away ? new StateStoreUnavailable({ reason: "away" }) : store.getMany(keys)))
      } as StateStore["Type"]
      yield* Effect.forkScoped(IndexCleanup.tidy(reached, life))
      yield* TestClock.adjust("1 second")
      expect(there()).toHaveLength(4)
      // the first look failed: the next one comes soon
      away = false
      yield* TestClock.adjust("10 seconds")
      expect(there()).toEqual(["alive", "lost"])
      // and what comes to be over later goes too
      const { version } = yield* Effect.flatten(store.get(INDEX_KEY))
      yield* store.replace(INDEX_KEY, index(["alive", "later", "lost"]), version)
      yield* TestClock.adjust("10 minutes")
      expect(there()).toEqual(["alive", "lost"])
    })
)
