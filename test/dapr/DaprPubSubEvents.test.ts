/** What the contract (section 2) says of an event, at a stock Dapr subscriber and in the broker itself, byte for byte. */
import { randomBytes, randomUUID } from "node:crypto"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { acceptInOrder } from "../../src/domain/AcceptInOrder.js"
import { LifecycleEvent } from "../../src/domain/ConnectionEvent.js"
import { Frame, FramePack, type FrameOrigin } from "../../src/domain/Frame.js"
import { PUBSUB } from "../support/Components.js"
import { streamEvents } from "../support/RedisStream.js"
import { requiring } from "../support/Requirements.js"
import { type ReceivedEvent, subscribe } from "../support/Subscriber.js"
import { connect, inMemory, onJetstream, onRedis } from "./sidecarBrokers.js"

const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 6)
const URL = 'wss://example.com/feed?token=***&q="<ü>"'

/** One of each kind of character: all of ASCII, what JSON, HTML and JavaScript escape, every plane, what is no character. */
const TEXTS = [
  "",
  String.fromCharCode(...Array.from({ length: 128 }, (_, code) => code)),
  String.fromCharCode(...Array.from({ length: 128 }, (_, code) => code + 128)),
  '<script>&amp;"\\/\b\f\n\r\t</script>',
  "\u2028\u2029\ufeff\ufffd\ufffe\uffff\ud7ff\ue000",
  "é e\u0301 한국어 日本語 עִבְרִית العربية ไทย 👩‍👩‍👧‍👦 🇨🇭 \u{1f4a9}\u{10ffff}\u{10000}",
  '{"id":12345678901234567890,"price":1.0,"tiny":1e-400,"z":1,"a":-0,"nested":{"b":[1.10,true,null]}}',
  " \t leading and trailing \r\n ",
  "null",
  "x".repeat(300_000)
]

const originOf = (textContentType = "text/plain"): FrameOrigin => ({
  connectionId: randomUUID(),
  connectionUrl: URL,
  instanceId: "host-1.example",
  epoch: 1_800_000_000,
  textContentType
})

const attributesOf = ({ connectionId }: FrameOrigin) => ({
  connectionid: connectionId,
  connectionurl: URL,
  instanceid: "host-1.example",
  epoch: "1800000000",
  subject: connectionId
})
/** What Dapr adds; without tracing the last three are there, and empty. */
const addedTo = (topic: string) => ({ topic, pubsubname: PUBSUB, traceid: "", traceparent: "", tracestate: "" })

/** Frames of a connection each, so that they may share a request. */
const frames = () => [
  ...TEXTS.map((text) => new Frame(originOf(), 1, AT, false, Buffer.from(text))),
  ...TEXTS.map((text) => new Frame(originOf("application/json"), 2, AT + 1, false, Buffer.from(text))),
  ...[new Uint8Array(), Uint8Array.from({ length: 256 }, (_, n) => n), randomBytes(300_000)].map(
    (bytes) => new Frame(originOf(), 3, AT + 2, true, Buffer.from(bytes))
  )
]

const contentTypeOf = ({ binary, origin }: Frame) => (binary ? "application/octet-stream" : origin.textContentType)

/** The envelope of a frame as it must stand in the broker. */
const storedFrame = (frame: Frame, topic: string) => {
  const { data, origin, receivedAt, sequence } = frame
  return {
    specversion: "1.0",
    id: `${origin.connectionId}:${origin.epoch}:${sequence}`,
    source: "urn:websocketmanager:host-1.example",
    type: "websocketmanager.frame",
    time: new Date(receivedAt).toISOString(),
    datacontenttype: contentTypeOf(frame),
    sequence: String(sequence),
    ...attributesOf(origin),
    ...addedTo(topic),
    ...(contentTypeOf(frame) === "text/plain" ? { data: data.toString() } : { data_base64: data.toString("base64") })
  }
}

const byId = <A extends { readonly id: unknown }>(events: ReadonlyArray<A>) => new Map(events.map((e) => [e.id, e]))

/** The frame as a subscriber gets it. */
const expectDelivered = (events: ReadonlyArray<ReceivedEvent>, published: ReadonlyArray<Frame>, topic: string) => {
  expect(events).toHaveLength(published.length)
  const delivered = byId(events)
  const inOrder = acceptInOrder()
  for (const frame of published) {
    const { id, source, specversion, type, datacontenttype, pubsubname, ...rest } = storedFrame(frame, topic)
    const extensions = Object.entries(rest).filter(([name]) => !["data", "data_base64", "topic"].includes(name))
    const event = delivered.get(id)!
    expect(event).toMatchObject({ source, type, specVersion: specversion, dataContentType: datacontenttype, topic })
    expect(event.pubsubName).toBe(pubsubname)
    expect(event.extensions).toMatchObject(Object.fromEntries(extensions))
    expect(event.data.equals(frame.data)).toBe(true)
    const [accepted] = inOrder.accept(event).frames
    expect(accepted).toMatchObject({ connectionId: frame.origin.connectionId, receivedAt: frame.receivedAt })
    expect(Buffer.from(accepted!.data).equals(frame.data)).toBe(true)
    expect(typeof accepted!.data).toBe(frame.binary ? "object" : "string")
  }
}

requiring("daprd", "redis")("events on Redis", () => {
  it.scopedLive(
    "a frame has every attribute and its bytes, at a subscriber and in the stream, in bulk and singly",
    () =>
      Effect.gen(function* () {
        const { redis, sidecar } = yield* onRedis()
        const pubsub = yield* connect(sidecar)
        const inBulk = frames()
        const singly = frames()
        const subscribers = {
          bulk: yield* subscribe({ sidecar, topic: "bulk" }),
          singly: yield* subscribe({ sidecar, topic: "singly" })
        }
        expect(yield* pubsub.publish("bulk", inBulk)).toEqual([])
        for (const frame of singly) expect(yield* pubsub.publish("singly", [frame])).toEqual([])
        expectDelivered(yield* subscribers.bulk.received(inBulk.length), inBulk, "bulk")
        expectDelivered(yield* subscribers.singly.received(singly.length), singly, "singly")
        for (const [topic, published] of [
          ["bulk", inBulk],
          ["singly", singly]
        ] as const) {
          const stored = byId((yield* Effect.promise(() => streamEvents(redis!.port, topic))) as Array<{ id: string }>)
          expect(stored.size).toBe(published.length)
          for (const frame of published) {
            const wanted = storedFrame(frame, topic)
            expect(stored.get(wanted.id)).toEqual(wanted)
          }
        }
      })
  )

  it.scopedLive("a pack has its first and last sequence, and every frame byte for byte", () =>
    Effect.gen(function* () {
      const { redis, sidecar } = yield* onRedis()
      const pubsub = yield* connect(sidecar)
      const origin = originOf("application/json")
      const bytes = randomBytes(1000)
      const pack = new FramePack(origin, [
        ...TEXTS.map((text, i) => new Frame(origin, i + 1, AT + i, false, Buffer.from(text))),
        new Frame(origin, TEXTS.length + 2, AT + 99, true, bytes)
      ])
      const last = TEXTS.length + 2
      const subscriber = yield* subscribe({ sidecar, topic: "packs" })
      expect(yield* pubsub.publish("packs", [pack])).toEqual([])
      const [stored] = yield* Effect.promise(() => streamEvents(redis!.port, "packs"))
      // as it was sent: nothing is added on the way
      expect(stored).toEqual({
        specversion: "1.0",
        id: `${origin.connectionId}:${origin.epoch}:1-${last}`,
        source: "urn:websocketmanager:host-1.example",
        type: "websocketmanager.frames",
        time: new Date(AT).toISOString(),
        datacontenttype: "application/json",
        sequence: "1",
        sequencelast: String(last),
        ...attributesOf(origin),
        data: [
          ...TEXTS.map((text, i) => ({ s: i + 1, t: AT + i, text })),
          { s: last, t: AT + 99, base64: bytes.toString("base64") }
        ]
      })
      const [event] = yield* subscriber.received(1)
      expect(event).toMatchObject({
        id: `${origin.connectionId}:${origin.epoch}:1-${last}`,
        type: "websocketmanager.frames",
        dataContentType: "application/json",
        extensions: { sequence: "1", sequencelast: String(last), ...attributesOf(origin) }
      })
      const { frames, gaps } = acceptInOrder().accept(event!)
      expect(frames.map(({ data }) => Buffer.from(data).toString("base64"))).toEqual(
        pack.frames.map(({ data }) => data.toString("base64"))
      )
      expect(gaps.map(({ missing }) => missing)).toEqual([1])
    })
  )

  it.scopedLive("a lifecycle event has its attributes", () =>
    Effect.gen(function* () {
      const { redis, sidecar } = yield* onRedis()
      const pubsub = yield* connect(sidecar)
      const attributes = { closecode: "1006", reason: 'gone "<away>"', delayms: "250", attempt: "3" }
      const event = new LifecycleEvent("reconnecting", randomUUID(), "host-1", 7, AT, attributes, randomUUID())
      expect(yield* pubsub.publish("websocketmanager.lifecycle", [event])).toEqual([])
      const [stored] = yield* Effect.promise(() => streamEvents(redis!.port, "websocketmanager.lifecycle"))
      expect(stored).toEqual({
        specversion: "1.0",
        id: event.id,
        source: "urn:websocketmanager:host-1",
        type: "websocketmanager.reconnecting",
        time: new Date(AT).toISOString(),
        subject: event.connectionId,
        connectionid: event.connectionId,
        instanceid: "host-1",
        epoch: "7",
        ...attributes,
        ...addedTo("websocketmanager.lifecycle")
      })
    })
  )

  it.scopedLive("a lifecycle event that names a connection's topic names it twice, as Dapr puts its own over one", () =>
    Effect.gen(function* () {
      const { redis, sidecar } = yield* onRedis()
      const pubsub = yield* connect(sidecar)
      const event = new LifecycleEvent("published-to", randomUUID(), "host-1", 7, AT, { topic: "orders" }, randomUUID())
      expect(yield* pubsub.publish("lifecycle", [event])).toEqual([])
      const [stored] = yield* Effect.promise(() => streamEvents(redis!.port, "lifecycle"))
      expect(stored).toMatchObject({ topic: "lifecycle", connectiontopic: "orders" })
    })
  )

  it.scopedLive("a topic may have any characters", () =>
    Effect.gen(function* () {
      const { redis, sidecar } = yield* onRedis()
      const pubsub = yield* connect(sidecar)
      const topics = ["a/b", "/a//b/", "a b", "a+b", "100%", "%2F", "a?b=c&d#e", "ü€😀", "..", ".", "a/../b", "bulk", '"<&>\\', "x".repeat(256), "😀".repeat(128)] // prettier-ignore
      for (const topic of topics) {
        for (const batch of [[1], [2, 3]]) {
          const outcome = yield* Effect.either(
            pubsub.publish(
              topic,
              batch.map((sequence) => new Frame(originOf(), sequence, AT, false, Buffer.from(topic)))
            )
          )
          expect([topic, outcome]).toMatchObject([topic, { right: [] }])
        }
        const stored = yield* Effect.promise(() => streamEvents(redis!.port, topic))
        expect(stored.map((event) => [event["data"], event["topic"]])).toEqual([1, 2, 3].map(() => [topic, topic]))
      }
    })
  )
})

requiring("daprd", "nats")("events on JetStream", () => {
  it.scopedLive("a frame has every attribute and its bytes, and one that is repeated is there once", () =>
    Effect.gen(function* () {
      const { nats, sidecar } = yield* onJetstream()
      const pubsub = yield* connect(sidecar)
      const published = frames()
      const subscriber = yield* subscribe({ sidecar, topic: "events" })
      expect(yield* pubsub.publish("events", published)).toEqual([])
      expect(yield* pubsub.publish("events", published)).toEqual([])
      expectDelivered(yield* subscriber.received(published.length), published, "events")
      const messages = yield* nats!.messages("events")
      const stored = byId(messages.map((message) => JSON.parse(message.toString()) as { id: string }))
      expect(messages).toHaveLength(published.length)
      for (const frame of published) {
        const wanted = storedFrame(frame, "events")
        expect(stored.get(wanted.id)).toEqual(wanted)
      }
    })
  )
})

requiring("daprd")("events in memory", () => {
  it.scopedLive("a frame has every attribute and its bytes", () =>
    Effect.gen(function* () {
      const { sidecar } = yield* inMemory()
      const pubsub = yield* connect(sidecar)
      const published = frames()
      const subscriber = yield* subscribe({ sidecar, topic: "events" })
      expect(yield* pubsub.publish("events", published)).toEqual([])
      expectDelivered(yield* subscriber.received(published.length), published, "events")
    })
  )
})
