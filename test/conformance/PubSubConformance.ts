/**
 * P01–P07 (`src/ports/PubSub.ts`) as tests, against the port alone. An adapter is right when it passes them.
 *
 * Topics are fresh in every test, so that the broker behind a harness may be one that lasts.
 */
import { randomBytes, randomUUID } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { LifecycleEvent } from "../../src/domain/ConnectionEvent.js"
import { Frame, FramePack, type FrameOrigin } from "../../src/domain/Frame.js"
import type { PubSub, TopicEvent } from "../../src/ports/PubSub.js"

/** What the suite compares of a frame, or of a lifecycle event (sequence 0, its name as data). */
export interface Received {
  readonly connectionId: string
  readonly sequence: number
  readonly binary: boolean
  readonly data: Buffer
}

export interface PubSubHarness {
  readonly pubsub: PubSub["Type"]
  /** Reads a topic from now on; each take gives at least one. `receivedOf` turns an event into it. */
  readonly read: (
    topic: string
  ) => Effect.Effect<{ readonly take: Effect.Effect<ReadonlyArray<Received>> }, unknown, Scope.Scope>
  /** within this every call ends, in real time */
  readonly deadline: Duration.Duration
  /** The broker answers nothing until the scope closes. Absent: it always answers. */
  readonly stall?: Effect.Effect<void, never, Scope.Scope>
}

export const pubSubConformance = (
  name: string,
  harness: Effect.Effect<PubSubHarness, unknown, Scope.Scope>,
  /** live: the adapter needs the real clock */
  options: { readonly live?: boolean } = {}
) => {
  const scoped = options.live === true ? it.scopedLive : it.scoped
  const test = (title: string, body: (harness: PubSubHarness) => Effect.Effect<void, unknown, Scope.Scope>) =>
    scoped(title, () => Effect.flatMap(harness, body), 30_000)

  describe(`PubSub (${name})`, () => {
    test("P01 what is not among the failures was published, frames, packs and lifecycle events alike", ({
      pubsub,
      read
    }) =>
      Effect.gen(function* () {
        const topic = fresh()
        const reader = yield* read(topic)
        const [x, y] = [connection("x"), connection("y")]
        const event = new LifecycleEvent("connected", "z", "i", 1, 1_700_000_000_000, { socket: "1" }, randomUUID())
        const batch = [frame(x, 1), new FramePack(y, [frame(y, 1), frame(y, 2)]), event]
        expect(yield* pubsub.publish(topic, batch)).toEqual([])
        expect(yield* collect(reader, 4)).toEqual(sorted(batch.flatMap(receivedOf)))
      }))

    test("P01 a batch of a hundred connections arrives whole, and an empty one is nothing", ({ pubsub, read }) =>
      Effect.gen(function* () {
        const topic = fresh()
        const reader = yield* read(topic)
        const batch = numbers(100).map((n) => frame(connection(`c${n}`), 1))
        expect(yield* pubsub.publish(topic, [])).toEqual([])
        expect(yield* pubsub.publish(topic, batch)).toEqual([])
        expect(yield* collect(reader, 100)).toEqual(sorted(batch.flatMap(receivedOf)))
      }))

    test("P01 a topic gets its own events and no others", ({ pubsub, read }) =>
      Effect.gen(function* () {
        const [one, other] = [fresh(), fresh()]
        const reader = yield* read(one)
        yield* pubsub.publish(other, [frame(connection("x"), 1)])
        yield* pubsub.publish(one, [frame(connection("x"), 2)])
        expect((yield* reader.take).map((event) => event.sequence)).toEqual([2])
      }))

    test("P02 the order of one key is kept from one batch to the next", ({ pubsub, read }) =>
      Effect.gen(function* () {
        const topic = fresh()
        const reader = yield* read(topic)
        const connections = numbers(5).map((n) => connection(`c${n}`))
        for (const sequence of numbers(40)) {
          yield* pubsub.publish(
            topic,
            connections.map((origin) => frame(origin, sequence))
          )
        }
        const received = yield* collectInOrder(reader, 200)
        for (const origin of connections) expect(sequencesOf(received, origin)).toEqual(numbers(40))
      }))

    test("P02 concurrent publishers keep the order of each of their keys", ({ pubsub, read }) =>
      Effect.gen(function* () {
        const topic = fresh()
        const reader = yield* read(topic)
        const connections = numbers(4).map((n) => connection(`c${n}`))
        const publish = (origin: FrameOrigin) =>
          Effect.forEach(numbers(40), (sequence) => pubsub.publish(topic, [frame(origin, sequence)]), { discard: true })
        const publishing = yield* Effect.fork(Effect.all(connections.map(publish), { concurrency: "unbounded" }))
        const received = yield* collectInOrder(reader, 160)
        yield* Fiber.join(publishing)
        for (const origin of connections) expect(sequencesOf(received, origin)).toEqual(numbers(40))
      }))

    test("P02 inside a batch order is kept where the adapter says so", ({ pubsub, read }) =>
      Effect.gen(function* () {
        const topic = fresh()
        const reader = yield* read(topic)
        const origin = connection("x")
        yield* pubsub.publish(
          topic,
          numbers(100).map((sequence) => frame(origin, sequence))
        )
        const sequences = sequencesOf(yield* collectInOrder(reader, 100), origin)
        const inOrder = sequences.every((sequence, i) => i === 0 || sequences[i - 1]! < sequence)
        if (pubsub.orderedWithinBatch) expect(inOrder).toBe(true)
        expect(sequences.toSorted((a, b) => a - b)).toEqual(numbers(100))
      }))

    test("P03 while the broker is away nothing passes for published", ({ pubsub, stall }) =>
      Effect.gen(function* () {
        const batch = numbers(10).map((n) => frame(connection(`c${n}`), 1))
        const answered = yield* pubsub.publish(fresh(), batch)
        expect(answered).toEqual([])
        if (stall === undefined) return
        yield* stall
        const failed = yield* pubsub.publish(fresh(), batch).pipe(
          Effect.map((failures) => failures.map(({ index }) => index)),
          Effect.catchTag("PubSubUnavailable", () => Effect.succeed(numbers(10).map((n) => n - 1)))
        )
        expect(failed.toSorted((a, b) => a - b)).toEqual(numbers(10).map((n) => n - 1))
      }))

    test("P04 text and binary arrive byte for byte", ({ pubsub, read }) =>
      Effect.gen(function* () {
        const topic = fresh()
        const reader = yield* read(topic)
        const texts = ["", "ü€😀\u2028", ' {"a": [1.0, null]}\r\n', "a\u0000b", "\ufeffbom", "x".repeat(100_000)]
        const frames = [
          ...texts.map((text, i) => frame(connection(`t${i}`), 1, Buffer.from(text))),
          ...[Buffer.alloc(0), Buffer.from(numbers(256).map((n) => n - 1)), randomBytes(100_000)].map((data, i) =>
            frame(connection(`b${i}`), 1, data, true)
          )
        ]
        expect(yield* pubsub.publish(topic, frames)).toEqual([])
        const received = yield* collect(reader, frames.length)
        expect(received.map(inBase64)).toEqual(sorted(frames.flatMap(receivedOf)).map(inBase64))
      }))

    test("P05 an event over the limit is refused by name before sending, its neighbours are published", ({
      pubsub,
      read
    }) =>
      Effect.gen(function* () {
        const topic = fresh()
        const reader = yield* read(topic)
        const limited = pubsub.maxEventBytes !== Infinity
        const large = Buffer.alloc(limited ? pubsub.maxEventBytes + 1 : 5 * 1024 * 1024, 0x61)
        const batch = [frame(connection("x"), 1), frame(connection("y"), 1, large), frame(connection("z"), 1)]
        const expected = batch.filter((_, i) => !limited || i !== 1).flatMap(receivedOf)
        const reading = yield* Effect.fork(collect(reader, expected.length))
        const failures = yield* pubsub.publish(topic, batch)
        expect(failures.map(({ index, transient }) => ({ index, transient }))).toEqual(
          limited ? [{ index: 1, transient: false }] : []
        )
        if (limited) expect(failures[0]!.reason).toMatch(/large|limit|bytes/)
        const received = yield* Fiber.join(reading)
        expect(received.map(({ connectionId, data }) => [connectionId, data.length])).toEqual(
          sorted(expected).map(({ connectionId, data }) => [connectionId, data.length])
        )
      }))

    test("P06 publish ends by its deadline, and can be interrupted", ({ deadline, pubsub, stall }) =>
      Effect.gen(function* () {
        if (stall !== undefined) yield* stall
        const batch = [frame(connection("x"), 1)]
        const began = performance.now()
        yield* Effect.exit(pubsub.publish(fresh(), batch))
        expect(performance.now() - began).toBeLessThan(Duration.toMillis(deadline))
        const fiber = yield* Effect.fork(pubsub.publish(fresh(), batch))
        yield* Effect.yieldNow()
        const interrupted = performance.now()
        yield* Fiber.interrupt(fiber)
        expect(performance.now() - interrupted).toBeLessThan(Duration.toMillis(deadline) / 2)
      }))

    test("P07 health is known without publishing", ({ deadline, pubsub, read, stall }) =>
      Effect.gen(function* () {
        const topic = fresh()
        const reader = yield* read(topic)
        yield* pubsub.ping
        yield* pubsub.publish(topic, [frame(connection("x"), 7)])
        expect((yield* reader.take).map((event) => event.sequence)).toEqual([7])
        if (stall === undefined) return
        yield* stall
        const began = performance.now()
        expect((yield* Effect.flip(pubsub.ping))._tag).toBe("PubSubUnavailable")
        expect(performance.now() - began).toBeLessThan(Duration.toMillis(deadline))
      }))
  })
}

/** An event as the suite compares it: a pack is its frames. */
export const receivedOf = (event: TopicEvent): ReadonlyArray<Received> => {
  if (event.kind === "frames") return event.frames.flatMap(receivedOf)
  if (event.kind === "lifecycle") {
    return [{ connectionId: event.connectionId, sequence: 0, binary: false, data: Buffer.from(event.name) }]
  }
  const { binary, data, origin, sequence } = event
  return [{ connectionId: origin.connectionId, sequence, binary, data }]
}

const fresh = () => `test-${randomUUID()}`
/** 1 … count */
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

/** A connection of its own, each time: brokers drop an id that they have seen, in whatever topic. */
const connection = (name: string): FrameOrigin => ({
  connectionId: `${name}-${randomUUID()}`,
  connectionUrl: "ws://127.0.0.1/feed",
  instanceId: "i",
  epoch: 1,
  textContentType: "text/plain"
})
const frame = (origin: FrameOrigin, sequence: number, data = Buffer.from(`frame ${sequence}`), binary = false) =>
  new Frame(origin, sequence, 1_700_000_000_000, binary, data)

const sequencesOf = (received: ReadonlyArray<Received>, origin: FrameOrigin) =>
  received.filter((event) => event.connectionId === origin.connectionId).map((event) => event.sequence)

const sorted = (received: ReadonlyArray<Received>) =>
  received.toSorted((a, b) => a.connectionId.localeCompare(b.connectionId) || a.sequence - b.sequence)

/** Long buffers compare quickly as text. */
const inBase64 = (event: Received) => ({ ...event, data: event.data.toString("base64") })

type Reader = { readonly take: Effect.Effect<ReadonlyArray<Received>> }

const collectInOrder = (reader: Reader, count: number): Effect.Effect<ReadonlyArray<Received>> =>
  Effect.gen(function* () {
    const received: Array<Received> = []
    while (received.length < count) received.push(...(yield* reader.take))
    expect(received).toHaveLength(count)
    return received
  })

const collect = (reader: Reader, count: number) => Effect.map(collectInOrder(reader, count), sorted)
