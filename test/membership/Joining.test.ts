import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import * as NoPeers from "../../src/adapters/peers/NoPeers.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { instanceKey } from "../../src/domain/Key.js"
import * as Elapsed from "../../src/membership/Elapsed.js"
import { type JoiningServices, join } from "../../src/membership/Joining.js"
import * as LeaseBoard from "../../src/membership/LeaseBoard.js"
import { LifeState } from "../../src/membership/Life.js"
import * as Periods from "../../src/membership/Periods.js"
import { View } from "../../src/membership/View.js"
import { Essentials } from "../../src/observability/Essentials.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { Peers } from "../../src/ports/Peers.js"
import * as FaultyStateStore from "../support/FaultyStateStore.js"
import { SETTINGS } from "./instances.js"

/** What one process joins with, and the store it joins in. */
const joiner = (backend: MemoryBackend) =>
  Effect.gen(function* () {
    const faults = yield* FaultyStateStore.make(backend)
    const elapsed = yield* Elapsed.make
    const periods = Periods.make(SETTINGS as unknown as SettingsShape)
    const world = yield* Layer.build(Layer.mergeAll(NoPeers.layer, Layer.provideMerge(Essentials.layer, Metrics.layer)))
    const services: JoiningServices = {
      elapsed,
      periods,
      store: faults.store,
      peers: Context.get(world, Peers),
      metrics: Context.get(world, Metrics),
      essentials: Context.get(world, Essentials),
      board: LeaseBoard.make(new LifeState("none", elapsed, periods)),
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
    const joining = yield* Effect.fork(join(services, new View("first")))
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
