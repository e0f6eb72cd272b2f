import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metrics from "../../src/observability/Metrics.js"
import { counted } from "../../src/state/CountedStore.js"
import * as FaultyStateStore from "../support/FaultyStateStore.js"

it.scoped("each operation of a store is counted once, by its outcome", () =>
  Effect.gen(function* () {
    const metrics = Metrics.make()
    const faulty = yield* FaultyStateStore.make()
    const store = counted(faulty.store, (operation, outcome) => metrics.stateOperations(operation, outcome).add(1))
    const version = yield* store.create("k", "v")
    yield* Effect.flip(store.create("k", "v"))
    yield* Effect.flip(store.create("large", "v".repeat(2_000_000)))
    const next = yield* store.replace("k", "w", version)
    yield* Effect.flip(store.replace("k", "w", version))
    yield* store.get("k")
    yield* store.get("absent")
    yield* store.getMany(["k", "absent"])
    yield* Effect.flip(store.remove("k", version))
    yield* store.remove("k", next)
    yield* store.ping
    faulty.rejectNext(1)
    yield* Effect.flip(store.get("k"))
    faulty.blackhole = true
    yield* Effect.raceFirst(store.getMany(["k"]), Effect.yieldNow())

    const family = metrics.collect().find(({ name }) => name === "websocketmanager_state_operations_total")
    const counts = family!.samples.map(({ labels, value }) => [labels.map(([, text]) => text).join(" "), value])
    expect(Object.fromEntries(counts.filter(([, value]) => value !== 0))).toEqual({
      "create ok": 1,
      "create mismatch": 1,
      "replace ok": 1,
      "replace mismatch": 1,
      "get ok": 2,
      "get unavailable": 1,
      "getMany ok": 1,
      "getMany unavailable": 1,
      "remove ok": 1,
      "remove mismatch": 1
    })
  })
)
