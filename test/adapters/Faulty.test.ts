/** The faulty doubles: without faults they are what they wrap, with a fault exactly that goes wrong. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { Frame, type FrameOrigin } from "../../src/domain/Frame.js"
import { pubSubConformance, receivedOf } from "../conformance/PubSubConformance.js"
import { stateStoreConformance } from "../conformance/StateStoreConformance.js"
import * as FaultyPubSub from "../support/FaultyPubSub.js"
import * as FaultyStateStore from "../support/FaultyStateStore.js"

stateStoreConformance(
  "faulty, around memory",
  Effect.gen(function* () {
    const backend = new MemoryBackend()
    const [a, b] = [yield* FaultyStateStore.make(backend), yield* FaultyStateStore.make(backend)]
    return {
      a: a.store,
      b: b.store,
      shortestTtl: Duration.millis(1),
      elapse: TestClock.adjust,
      maxValueBytes: 1024 * 1024,
      deadline: Duration.seconds(1),
      stall: Effect.acquireRelease(
        Effect.sync(() => {
          a.unavailable = true
        }),
        () => Effect.sync(() => a.heal())
      )
    }
  })
)

for (const orderedWithinBatch of [true, false]) {
  pubSubConformance(
    `faulty, ${orderedWithinBatch ? "" : "not "}ordered within a batch, with a size limit`,
    Effect.sync(() => {
      const faulty = FaultyPubSub.make({ orderedWithinBatch, maxEventBytes: 1_000_000 })
      const pubsub = faulty.service
      return {
        pubsub,
        read: (topic: string) =>
          Effect.map(pubsub.subscribe(topic), ({ take }) => ({
            take: Effect.map(take, ({ events }) => events.flatMap(receivedOf))
          })),
        deadline: Duration.seconds(1),
        stall: Effect.acquireRelease(
          Effect.sync(() => {
            faulty.unavailable = true
          }),
          () => Effect.sync(() => faulty.heal())
        )
      }
    })
  )
}

describe("FaultyStateStore", () => {
  const setup = Effect.gen(function* () {
    const backend = new MemoryBackend()
    const [faulty, honest] = [yield* FaultyStateStore.make(backend), yield* FaultyStateStore.make(backend)]
    const valueOf = (key: string) => Effect.map(honest.store.get(key), (read) => Option.getOrUndefined(read)?.value)
    return { faulty, store: faulty.store, honest: honest.store, valueOf }
  })

  it.scoped("a black hole holds every call until its caller gives up, and does nothing", () =>
    Effect.gen(function* () {
      const { faulty, store, valueOf } = yield* setup
      faulty.blackhole = true
      const waiting = yield* Effect.fork(Effect.timeoutOption(store.create("k", "v"), "5 seconds"))
      yield* TestClock.adjust("4 seconds")
      expect(waiting.unsafePoll()).toBe(null)
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(waiting)).toEqual(Option.none())
      faulty.heal()
      expect(yield* valueOf("k")).toBe(undefined)
      yield* store.create("k", "v")
      expect(faulty.calls).toEqual([
        { operation: "create", key: "k", at: 0 },
        { operation: "create", key: "k", at: 5000 }
      ])
      expect([faulty.count("writes"), faulty.count("get")]).toEqual([2, 0])
    })
  )

  it.scoped("rejected calls do nothing, and only so many are rejected", () =>
    Effect.gen(function* () {
      const { faulty, store, valueOf } = yield* setup
      faulty.rejectNext(2)
      expect(yield* Effect.flip(store.create("k", "v"))).not.toHaveProperty("outcome")
      expect(yield* Effect.flip(store.get("k"))).toMatchObject({ _tag: "StateStoreUnavailable" })
      expect(yield* valueOf("k")).toBe(undefined)
      yield* store.create("k", "v")
      expect(yield* valueOf("k")).toBe("v")
    })
  )

  it.scoped("a lost response: the write landed, its caller does not know", () =>
    Effect.gen(function* () {
      const { faulty, store, valueOf } = yield* setup
      faulty.loseResponse(1)
      yield* store.get("k")
      expect(yield* Effect.flip(store.create("k", "v"))).toMatchObject({ outcome: "unknown" })
      expect(yield* valueOf("k")).toBe("v")
      faulty.swallowResponse(1)
      const waiting = yield* Effect.fork(store.create("k2", "v"))
      yield* TestClock.adjust("1 hour")
      expect(waiting.unsafePoll()).toBe(null)
      expect(yield* valueOf("k2")).toBe("v")
      yield* Fiber.interrupt(waiting)
    })
  )

  it.scoped("a late write lands when its time has come, if it still fits then", () =>
    Effect.gen(function* () {
      const { faulty, honest, store, valueOf } = yield* setup
      const version = yield* store.create("raced", "before")
      faulty.landLate(Duration.seconds(10), 2)
      expect(yield* Effect.flip(store.create("free", "late"))).toMatchObject({ outcome: "unknown" })
      expect(yield* Effect.flip(store.replace("raced", "late", version))).toMatchObject({ outcome: "unknown" })
      yield* TestClock.adjust("9 seconds")
      expect(yield* valueOf("free")).toBe(undefined)
      yield* honest.replace("raced", "other", version)
      yield* TestClock.adjust("1 second")
      expect([yield* valueOf("free"), yield* valueOf("raced")]).toEqual(["late", "other"])
      expect(faulty.lateWrites.map(({ key, outcome }) => [key, outcome]).toSorted()).toEqual([
        ["free", "ok"],
        ["raced", "VersionMismatch"]
      ])
    })
  )

  it.scoped("a slow store does things later, and faults are for the chosen calls only", () =>
    Effect.gen(function* () {
      const { faulty, store, valueOf } = yield* setup
      faulty.slow = Duration.seconds(3)
      faulty.only = ({ key }) => key === "slow"
      yield* store.create("quick", "v")
      const waiting = yield* Effect.fork(store.create("slow", "v"))
      yield* TestClock.adjust("2999 millis")
      expect(yield* valueOf("slow")).toBe(undefined)
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(waiting)
      expect(yield* valueOf("slow")).toBe("v")
    })
  )
})

describe("FaultyPubSub", () => {
  const origin: FrameOrigin = {
    connectionId: "c",
    connectionUrl: "",
    instanceId: "i",
    epoch: 1,
    textContentType: "text/plain"
  }
  const frames = (...sequences: ReadonlyArray<number>) =>
    sequences.map((sequence) => new Frame(origin, sequence, 0, false, Buffer.from("x")))

  it.effect("fails the chosen entries, delivers the others, in reverse where it is not ordered", () =>
    Effect.gen(function* () {
      const faulty = FaultyPubSub.make({ orderedWithinBatch: false })
      const batch = frames(1, 2, 3, 4)
      faulty.failEntry = (event) => (event === batch[1] ? { transient: true, reason: "busy" } : undefined)
      expect(yield* faulty.service.publish("t", batch)).toEqual([{ index: 1, transient: true, reason: "busy" }])
      expect(faulty.eventsOf("t")).toEqual([batch[3], batch[2], batch[0]])
      expect(faulty.batches).toEqual([{ topic: "t", events: batch, at: 0 }])
    })
  )

  it.effect("a topic that hangs or is slow delays no other, and what is in flight is known", () =>
    Effect.gen(function* () {
      const faulty = FaultyPubSub.make()
      faulty.hanging.add("hangs")
      faulty.slow.set("slow", Duration.seconds(1))
      const hanging = yield* Effect.fork(faulty.service.publish("hangs", frames(1)))
      const slow = yield* Effect.fork(faulty.service.publish("slow", frames(1)))
      yield* faulty.service.publish("quick", frames(1))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(slow)
      expect(["hangs", "slow", "quick"].map((topic) => faulty.eventsOf(topic).length)).toEqual([0, 1, 1])
      expect(["hangs", "slow", "quick"].map((topic) => faulty.inFlight.get(topic))).toEqual([1, 0, 0])
      yield* Fiber.interrupt(hanging)
      expect([faulty.inFlight.get("hangs"), faulty.mostInFlight.get("hangs")]).toEqual([0, 1])
    })
  )

  it.effect("a lost response: the batch was published, its caller does not know", () =>
    Effect.gen(function* () {
      const faulty = FaultyPubSub.make()
      faulty.loseResponse(1)
      expect(yield* Effect.flip(faulty.service.publish("t", frames(1)))).toMatchObject({ outcome: "unknown" })
      yield* faulty.service.publish("t", frames(1))
      expect(faulty.eventsOf("t")).toHaveLength(2)
    })
  )
})
