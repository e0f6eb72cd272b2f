import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import * as NoPeers from "../../src/adapters/peers/NoPeers.js"
import * as SuspendAwareClock from "../../src/common/SuspendAwareClock.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { instanceKey } from "../../src/domain/stored/Keys.js"
import { join, type JoinContext } from "../../src/membership/Join.js"
import { IncarnationState } from "../../src/membership/lease/Incarnation.js"
import * as LeaseController from "../../src/membership/lease/LeaseController.js"
import * as LeaseTimings from "../../src/membership/lease/LeaseTimings.js"
import { MemberTable } from "../../src/membership/peers/MemberTable.js"
import { Essentials } from "../../src/observability/Essentials.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { Peers } from "../../src/ports/Peers.js"
import * as FaultyStateStore from "../support/FaultyStateStore.js"
import { SETTINGS } from "./clockedInstances.js"

/** What one process joins with, and the store it joins in. */
const joiner = (backend: MemoryBackend) =>
  Effect.gen(function* () {
    const faults = yield* FaultyStateStore.make(backend)
    const elapsed = yield* SuspendAwareClock.make
    const periods = LeaseTimings.make(SETTINGS as unknown as SettingsShape)
    const world = yield* Layer.build(Layer.mergeAll(NoPeers.layer, Layer.provideMerge(Essentials.layer, Metrics.layer)))
    const services: JoinContext = {
      elapsed,
      periods,
      store: faults.store,
      peers: Context.get(world, Peers),
      metrics: Context.get(world, Metrics),
      essentials: Context.get(world, Essentials),
      board: LeaseController.make(new IncarnationState("none", elapsed, periods)),
      wake: yield* Effect.makeLatch(false),
      identity: { bootId: "boot", pidNamespace: "ns", pid: 1, processStart: "1", isGone: () => false },
      instanceId: "one",
      address: "http://127.0.0.1:5001",
      own: new Set(),
      ttl: () => undefined,
      record: ({ incarnation }, status, beat, nonce) => ({
        id: "one",
        incarnation,
        status,
        beat,
        nonce,
        address: "http://127.0.0.1:5001",
        startedAt: "1970-01-01T00:00:00.000Z",
        bootId: "boot",
        pidNamespace: "ns",
        pid: 1,
        processStart: "1",
        intervalMs: periods.interval,
        ttlMs: periods.ttl,
        connections: 0,
        unknown: {}
      })
    }
    return { faults, services }
  })

it.scoped("of the tries to join a store that takes no writes, the last are remembered, and not waited for", () =>
  Effect.gen(function* () {
    const backend = new MemoryBackend()
    const { faults, services } = yield* joiner(backend)
    faults.only = ({ operation }) => operation === "create"
    faults.unavailable = true
    for (let i = 0; i < 1020; i++) services.own.add(`try-${i}`)
    const joining = yield* Effect.fork(join(services, new MemberTable("first")))
    yield* TestClock.adjust("5 seconds")
    expect(faults.count("create")).toBeGreaterThan(8)
    expect(services.own.size).toBe(1024)
    expect(services.own.has("try-0")).toBe(false)
    // one of them is done after all, in the end
    faults.unavailable = false
    faults.landLate(Duration.millis(600))
    yield* TestClock.adjust("1 second")
    faults.blackhole = true
    yield* TestClock.adjust("10 seconds")
    const landed = JSON.parse(backend.entries.get(instanceKey("one"))!.value).incarnation
    expect(services.own.has(landed)).toBe(true)
    faults.heal()
    yield* TestClock.adjust("600 millis")
    const life = yield* Fiber.join(joining)
    expect(services.own.has(life.incarnation)).toBe(true)
  })
)
