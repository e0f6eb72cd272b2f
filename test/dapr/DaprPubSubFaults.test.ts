/**
 * Publisher, adapter, sidecar and broker together, while one of them goes away: every frame once or more, in order, or
 * reported. The judge is what consumers use, `acceptInOrder`.
 */
import { randomUUID } from "node:crypto"
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Settings } from "../../src/config/Settings.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { acceptInOrder } from "../../src/domain/AcceptInOrder.js"
import { Frame, type FrameOrigin } from "../../src/domain/Frame.js"
import { layer as publisherLayer, Publisher } from "../../src/messaging/Publisher.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { PubSub } from "../../src/ports/PubSub.js"
import { Accounting } from "../support/Accounting.js"
import { streamEvents } from "../support/RedisStream.js"
import { requiring } from "../support/Requirements.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { type Broker, connect, MIB, onJetstream, onRedis } from "./sidecarBrokers.js"

const TOPIC = "feed"
const SETTINGS: Partial<SettingsShape> = {
  lifecycleTopic: "",
  bufferMaxBytes: 512 * MIB,
  publishMaxBytes: 4 * MIB,
  publishBatch: 100,
  publishLinger: Duration.millis(5)
}

/** Connections that receive a frame each few milliseconds, and what becomes of it. */
const feed = (pubsub: PubSub["Type"], options: { readonly singly: number; readonly packed: number }) =>
  Effect.gen(function* () {
    const ports = Layer.mergeAll(Layer.succeed(PubSub, pubsub), Layer.succeed(Settings, SETTINGS as SettingsShape))
    const context = yield* Layer.build(publisherLayer.pipe(Layer.provide(ports), Layer.provide(Metrics.layer)))
    const publisher = yield* Effect.provide(Publisher, context)
    const accounting = new Accounting()
    const connections = Array.from({ length: options.singly + options.packed }, (_, n) => {
      const packed = n >= options.singly
      const origin: FrameOrigin = {
        connectionId: randomUUID(),
        connectionUrl: "wss://example.com/feed",
        instanceId: "host-1",
        epoch: 1_800_000_000,
        textContentType: "text/plain"
      }
      const counters = { published: 0, dropped: 0 }
      const lane = publisher.lane({
        connectionId: origin.connectionId,
        topic: TOPIC,
        buffer: { maxFrames: 100_000, maxBytes: 64 * MIB, overflow: "drop-newest" },
        publishing: { packed, maxFrames: 256, maxBytes: 256 * 1024, lingerMs: 5, textContentType: "text/plain" },
        mayPublish: () => true,
        onPause: () => {},
        onResume: () => {},
        onGap: (_cause, _last, _first, lost) => accounting.gap(origin.connectionId, lost),
        counters,
        start: { epoch: origin.epoch, sequence: 0, at: 0 }
      })
      let sequence = 0
      const receive = () => {
        const data = Buffer.from(`${origin.connectionId} ${++sequence}`)
        accounting.sent(origin.connectionId, data)
        lane.offer(new Frame(origin, sequence, Date.now(), false, data))
      }
      return { counters, lane, receive }
    })
    let over = false
    const turn = Effect.sync(() => {
      if (over) return
      for (const [n, { receive }] of connections.entries())
        for (let i = n < options.singly ? 1 : 20; i > 0; i--) receive()
    })
    yield* Effect.forkScoped(Effect.repeat(turn, Schedule.spaced("5 millis")).pipe(Effect.interruptible))
    const published = () => connections.reduce((sum, { counters }) => sum + counters.published, 0)
    return {
      /** So many more frames have been published. */
      more: (frames: number) =>
        Effect.suspend(() => {
          const wanted = published() + frames
          return Effect.suspend(() => (published() >= wanted ? Effect.void : Effect.fail("not yet"))).pipe(
            Effect.retry(Schedule.spaced("10 millis")),
            Effect.timeoutFail({
              duration: "40 seconds",
              onTimeout: () => new Error(`${published()} published, ${wanted} wanted`)
            })
          )
        }),
      /** Nothing comes any more, and what waits is published. */
      finish: Effect.suspend(() => {
        over = true
        for (const { lane } of connections) lane.close()
        return publisher.flush(Duration.seconds(40))
      }),
      accounting,
      dropped: () => connections.reduce((sum, { counters }) => sum + counters.dropped, 0)
    }
  })

/** What stands in the broker, in its order, as objects. */
const stored = ({ nats, redis }: Broker): Effect.Effect<ReadonlyArray<object>, Error> =>
  redis === undefined
    ? Effect.map(nats!.messages(TOPIC), (all) => all.map((message) => JSON.parse(message.toString()) as object))
    : Effect.promise(() => streamEvents(redis.port, TOPIC))

/** What was not published, was dropped, is missing or out of order, and what a consumer finds missing. */
const judge = (broker: Broker, feeding: Effect.Effect.Success<ReturnType<typeof feed>>) =>
  Effect.gen(function* () {
    const waiting = yield* feeding.finish
    const inOrder = acceptInOrder()
    const gaps = (yield* stored(broker)).flatMap((event) => {
      feeding.accounting.received(event)
      return inOrder.accept(event).gaps
    })
    return { waiting, dropped: feeding.dropped(), problems: feeding.accounting.problems(), gaps }
  })
const COMPLETE = { waiting: 0, dropped: 0, problems: [], gaps: [] }

requiring("daprd", "redis")("Redis", () => {
  it.scopedLive("is stopped and started under load: every frame is there, in order", () =>
    Effect.gen(function* () {
      const broker = yield* onRedis()
      const pubsub = yield* connect(broker.sidecar)
      const feeding = yield* feed(pubsub, { singly: 30, packed: 2 })
      yield* feeding.more(500)
      yield* broker.redis!.stop
      yield* Effect.retry(Effect.flip(pubsub.ping), Schedule.spaced("50 millis")).pipe(Effect.timeout("20 seconds"))
      yield* broker.redis!.start
      yield* feeding.more(2000)
      yield* pubsub.ping
      expect(yield* judge(broker, feeding)).toEqual(COMPLETE)
    })
  )

  it.scopedLive("does not answer for longer than a publish waits: every frame is there, in order", () =>
    Effect.gen(function* () {
      const broker = yield* onRedis()
      const pubsub = yield* connect(broker.sidecar, { deadline: "1 second" })
      const feeding = yield* feed(pubsub, { singly: 30, packed: 2 })
      yield* feeding.more(500)
      yield* broker.redis!.pause
      const { message } = yield* Effect.retry(Effect.flip(pubsub.ping), Schedule.spaced("50 millis")).pipe(
        Effect.timeout("20 seconds")
      )
      expect(message).toMatch(/publishing fails since 20\d\d-.*no answer within 1 s/)
      yield* broker.redis!.resume
      yield* feeding.more(2000)
      expect(yield* judge(broker, feeding)).toEqual(COMPLETE)
    })
  )
})

requiring("daprd", "nats")("JetStream", () => {
  it.scopedLive("is stopped and started under load: every frame is there, in order", () =>
    Effect.gen(function* () {
      const broker = yield* onJetstream()
      const pubsub = yield* connect(broker.sidecar)
      const feeding = yield* feed(pubsub, { singly: 5, packed: 1 })
      yield* feeding.more(200)
      yield* broker.nats!.stop
      yield* Effect.retry(Effect.flip(pubsub.ping), Schedule.spaced("50 millis")).pipe(Effect.timeout("20 seconds"))
      yield* broker.nats!.start
      yield* feeding.more(1000)
      expect(yield* judge(broker, feeding)).toEqual(COMPLETE)
    })
  )
})

requiring("daprd", "redis")("the sidecar", () => {
  it.scopedLive("is killed and started under load: every frame is there, in order", () =>
    Effect.gen(function* () {
      const broker = yield* onRedis()
      const pubsub = yield* connect(broker.sidecar)
      const feeding = yield* feed(pubsub, { singly: 30, packed: 2 })
      for (let n = 0; n < 2; n++) {
        yield* feeding.more(500)
        yield* broker.sidecar.kill
        expect((yield* Effect.flip(pubsub.ping))._tag).toBe("PubSubUnavailable")
        yield* broker.sidecar.start
      }
      yield* feeding.more(2000)
      expect(yield* judge(broker, feeding)).toEqual(COMPLETE)
    })
  )

  it.scopedLive("accepts and never answers, with what it was given published or not: in order all the same", () =>
    Effect.gen(function* () {
      const broker = yield* onRedis()
      const proxy = yield* StallingProxy.start(broker.sidecar.httpPort)
      const pubsub = yield* connect(broker.sidecar, { httpPort: proxy.port, deadline: "1 second" })
      const feeding = yield* feed(pubsub, { singly: 30, packed: 2 })
      for (const fault of [proxy.stall, proxy.withhold, proxy.cut]) {
        yield* feeding.more(500)
        yield* fault
        if (fault !== proxy.cut) {
          const began = performance.now()
          expect((yield* Effect.flip(pubsub.ping))._tag).toBe("PubSubUnavailable")
          expect(performance.now() - began).toBeLessThan(3000)
          yield* Effect.sleep("1500 millis")
        }
        yield* proxy.resume
      }
      yield* feeding.more(2000)
      expect(yield* judge(broker, feeding)).toEqual(COMPLETE)
    })
  )
})
