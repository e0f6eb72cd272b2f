import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import { StateStore } from "../../src/ports/StateStore.js"
import { stateStoreConformance } from "../conformance/StateStoreConformance.js"

const handle = (backend?: MemoryState.MemoryBackend) =>
  Effect.map(Layer.build(MemoryState.layer(backend)), (context) => Context.get(context, StateStore))

stateStoreConformance(
  "memory",
  Effect.gen(function* () {
    const backend = new MemoryState.MemoryBackend()
    return {
      a: yield* handle(backend),
      b: yield* handle(backend),
      shortestTtl: Duration.millis(1),
      elapse: TestClock.adjust,
      maxValueBytes: 1024 * 1024,
      deadline: Duration.seconds(1)
    }
  })
)

it.scoped("two stores that share no backend know nothing of each other", () =>
  Effect.gen(function* () {
    const [a, b] = [yield* handle(), yield* handle()]
    yield* a.create("k", "v")
    expect(yield* b.get("k")).toEqual(Option.none())
  })
)

it.scoped("a ttl ends at its millisecond", () =>
  Effect.gen(function* () {
    const store = yield* handle()
    yield* store.create("k", "v", { ttl: Duration.hours(1) })
    yield* TestClock.adjust(Duration.millis(3_599_999))
    expect(Option.isSome(yield* store.get("k"))).toBe(true)
    yield* TestClock.adjust(Duration.millis(1))
    expect(Option.isSome(yield* store.get("k"))).toBe(false)
  })
)

it.scoped("expired keys that nobody reads again do not pile up", () =>
  Effect.gen(function* () {
    const backend = new MemoryState.MemoryBackend()
    const store = yield* handle(backend)
    for (let hour = 0; hour < 20; hour++) {
      for (let i = 0; i < 500; i++) yield* store.create(`${hour}/${i}`, "tombstone", { ttl: Duration.hours(1) })
      yield* TestClock.adjust(Duration.hours(1))
    }
    expect(backend.entries.size).toBeLessThan(2048)
  })
)
