import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as MemoryPubSub from "../../src/adapters/embedded/MemoryPubSub.js"
import { Frame, type FrameOrigin } from "../../src/domain/Frame.js"
import type { Subscription, TopicEvent } from "../../src/ports/PubSub.js"
import { pubSubConformance, receivedOf } from "../conformance/PubSubConformance.js"

pubSubConformance(
  "memory",
  Effect.sync(() => {
    const pubsub = MemoryPubSub.make()
    const read = (topic: string) =>
      Effect.map(pubsub.subscribe(topic), ({ take }) => ({
        take: Effect.map(take, ({ events }) => events.flatMap(receivedOf))
      }))
    return { pubsub, read, deadline: Duration.seconds(1) }
  })
)

const origin: FrameOrigin = {
  connectionId: "c",
  connectionUrl: "ws://127.0.0.1/",
  instanceId: "i",
  epoch: 1,
  textContentType: "text/plain"
}
const data = Buffer.alloc(200, 0x61)
const frames = (from: number, count: number, payload = data) =>
  Array.from({ length: count }, (_, i) => new Frame(origin, from + i, 0, false, payload))
const sequencesOf = (events: ReadonlyArray<TopicEvent>) => events.map((event) => (event as Frame).sequence)

/** A reader that keeps up: what it got, and what it missed, until the frame `last`. */
const readUntil = (subscription: Subscription, last: number) =>
  Effect.gen(function* () {
    let [count, missed, inOrder, at] = [0, 0, true, 0]
    while (at < last) {
      const taken = yield* subscription.take
      missed += taken.missed
      for (const sequence of sequencesOf(taken.events)) {
        inOrder &&= sequence === at + taken.missed + 1 || sequence === at + 1
        at = sequence
        count += 1
      }
    }
    return { count, missed, inOrder }
  })

for (const [publishers, size, payload] of [
  [1, 100, 200],
  [4, 100, 200],
  [50, 100, 200],
  [4, 5000, 200],
  [4, 100, 100_000],
  [2, 3, 6_000_000]
] as const) {
  const title = `${publishers} publishers, batches of ${size}, ${payload} bytes a frame`
  it.scoped(`readers that keep up miss nothing of a flood: ${title}`, () =>
    Effect.gen(function* () {
      const pubsub = MemoryPubSub.make()
      const bytes = Buffer.alloc(payload)
      const batches = Math.ceil(20_000 / size / publishers / (payload > 1000 ? 10 : 1))
      const total = batches * publishers * size
      let sequence = 0
      const publisher = Effect.gen(function* () {
        for (let i = 0; i < batches; i++) {
          const batch = frames(sequence + 1, size, bytes)
          sequence += size
          yield* pubsub.publish("t", batch)
        }
      })
      const count = (subscription: Subscription) =>
        Effect.gen(function* () {
          let [got, missed] = [0, 0]
          while (got + missed < total) {
            const taken = yield* subscription.take
            got += taken.events.length
            missed += taken.missed
          }
          return { got, missed }
        })
      const readers = [yield* pubsub.subscribe("t"), yield* pubsub.subscribe("t")]
      const reading = yield* Effect.forkAll(readers.map(count))
      yield* Effect.forEach(Array(publishers), () => publisher, { concurrency: "unbounded", discard: true })
      const whole = { got: total, missed: 0 }
      expect(yield* Fiber.join(reading)).toEqual([whole, whole])
    })
  )
}

it.scoped("a reader that stops holds nobody up: it keeps the newest 16,384, and the next take counts the rest", () =>
  Effect.gen(function* () {
    const pubsub = MemoryPubSub.make()
    const slow = yield* pubsub.subscribe("t")
    const quick = yield* Effect.fork(readUntil(yield* pubsub.subscribe("t"), 50_000))
    for (let i = 0; i < 500; i++) yield* pubsub.publish("t", frames(i * 100 + 1, 100, Buffer.alloc(50)))
    expect(yield* Fiber.join(quick)).toEqual({ count: 50_000, missed: 0, inOrder: true })
    const { events, missed } = yield* slow.take
    expect(missed).toBe(50_000 - 16_384)
    expect(sequencesOf(events)).toEqual(sequencesOf(frames(50_000 - 16_383, 16_384)))
    yield* pubsub.publish("t", frames(50_001, 1))
    expect((yield* slow.take).missed).toBe(0)
  })
)

it.scoped("a reader that stops keeps at most 4 MiB", () =>
  Effect.gen(function* () {
    const pubsub = MemoryPubSub.make()
    const slow = yield* pubsub.subscribe("t")
    for (let i = 0; i < 20; i++) yield* pubsub.publish("t", frames(i + 1, 1, Buffer.alloc(1_000_000)))
    const { events, missed } = yield* slow.take
    expect([sequencesOf(events), missed]).toEqual([[17, 18, 19, 20], 16])
  })
)

it.scoped("a reader gets what is published from its subscription on, and nothing after its scope", () =>
  Effect.gen(function* () {
    const pubsub = MemoryPubSub.make()
    yield* pubsub.publish("t", frames(1, 1))
    const first = yield* pubsub.subscribe("t")
    const second = yield* Effect.scoped(pubsub.subscribe("t"))
    yield* pubsub.publish("t", frames(2, 1))
    expect(sequencesOf((yield* first.take).events)).toEqual([2])
    const waiting = yield* Effect.fork(second.take)
    yield* pubsub.publish("t", frames(3, 1))
    expect(sequencesOf((yield* first.take).events)).toEqual([3])
    expect(waiting.unsafePoll()).toBe(null)
    yield* Fiber.interrupt(waiting)
  })
)

it.scoped("a take that was interrupted loses nothing", () =>
  Effect.gen(function* () {
    const pubsub = MemoryPubSub.make()
    const reader = yield* pubsub.subscribe("t")
    const waiting = yield* Effect.fork(reader.take)
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(waiting)
    yield* pubsub.publish("t", frames(1, 2))
    expect(sequencesOf((yield* reader.take).events)).toEqual([1, 2])
  })
)

it.scoped("publishes at once only while no reader would miss anything by it", () =>
  Effect.gen(function* () {
    const { publish, subscribe } = MemoryPubSub.make()
    expect(publish.now!("t", frames(1, 100))).toEqual([])
    const reader = yield* subscribe("t")
    let from = 1
    while (from < 50_000 && publish.now!("t", frames(from, 100, Buffer.alloc(50))) !== undefined) from += 100
    expect(from).toBe(16_301)
    const { events, missed } = yield* reader.take
    expect([missed, events.length]).toEqual([0, 16_300])
    expect(publish.now!("t", frames(from, 100))).toEqual([])
  })
)
