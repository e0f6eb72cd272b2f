/** A publisher on a bus that fails as told, and lanes that keep what they are told. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { Settings } from "../../src/config/Settings.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import type { GapCause, Position } from "../../src/domain/ConnectionEvent.js"
import { Frame, type FrameOrigin } from "../../src/domain/Frame.js"
import type { ResolvedBuffer, ResolvedPublishing } from "../../src/domain/Spec.js"
import type { Lane } from "../../src/messaging/publish/Lane.js"
import { layer as publisherLayer, Publisher } from "../../src/messaging/Publisher.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { Accounting, type AccountingOptions } from "../support/Accounting.js"
import * as FaultyPubSub from "../support/FaultyPubSub.js"

export interface BenchOptions extends FaultyPubSub.FaultyPubSubOptions, AccountingOptions {
  readonly settings?: Partial<SettingsShape>
}

export interface LaneTestOptions {
  readonly topic?: string
  readonly epoch?: number
  readonly buffer?: Partial<ResolvedBuffer>
  readonly publishing?: Partial<ResolvedPublishing>
}

export interface ToldGap {
  readonly cause: GapCause
  readonly last: Position
  readonly first: Position
  readonly lost: number
}

const DEFAULTS: Partial<SettingsShape> = {
  lifecycleTopic: "lifecycle",
  bufferMaxBytes: 512 * 1024 * 1024,
  publishMaxBytes: 4 * 1024 * 1024,
  publishBatch: 100,
  publishLinger: Duration.millis(5)
}

const yields = Effect.repeatN(Effect.yieldNow(), 30)
const turn = Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))

/** Lets everything run that is ready to run, over the end of the event loop's turn. */
export const settle = Effect.repeatN(Effect.zipRight(yields, turn), 2)

/** What is ready runs, the time passes, and what that made ready runs. */
export const advance = (by: Duration.DurationInput): Effect.Effect<void> =>
  Effect.zipRight(Effect.zipRight(settle, TestClock.adjust(by)), settle)

/** What a test of the publisher works with. */
export const bench = (options: BenchOptions = {}) =>
  Effect.gen(function* () {
    const bus = FaultyPubSub.make(options)
    const settings = Layer.succeed(Settings, { ...DEFAULTS, ...options.settings } as SettingsShape)
    const context = yield* Layer.build(
      publisherLayer.pipe(Layer.provideMerge(Layer.mergeAll(bus.layer, settings, Metrics.layer)))
    )
    const publisher = yield* Effect.provide(Publisher, context)
    const metrics = yield* Effect.provide(Metrics, context)
    const clock = yield* Effect.clock
    const accounting = new Accounting(options)

    /** A connection and its lane to a topic. */
    const connect = (connectionId: string, given: LaneTestOptions = {}) => {
      const origin: FrameOrigin = {
        connectionId,
        connectionUrl: "ws://peer",
        instanceId: "i1",
        epoch: given.epoch ?? 1,
        textContentType: "text/plain"
      }
      const told: Array<ToldGap & { readonly at: number }> = []
      const connection = {
        may: true,
        paused: false,
        pauses: 0,
        resumes: 0,
        sequence: 0,
        counters: { published: 0, dropped: 0 },
        gaps: told
      }
      const lane: Lane = publisher.lane({
        connectionId,
        topic: given.topic ?? "t",
        buffer: { maxFrames: 4096, maxBytes: 8 * 1024 * 1024, overflow: "pause", ...given.buffer },
        publishing: {
          packed: false,
          maxFrames: 256,
          maxBytes: 256 * 1024,
          lingerMs: 5,
          textContentType: "text/plain",
          ...given.publishing
        },
        mayPublish: () => connection.may,
        onPause: () => {
          connection.paused = true
          connection.pauses++
        },
        onResume: () => {
          connection.paused = false
          connection.resumes++
        },
        onGap: (cause, last, first, lost) => {
          told.push({ cause, last, first, lost, at: clock.unsafeCurrentTimeMillis() })
          accounting.gap(connectionId, lost)
        },
        counters: connection.counters,
        start: { epoch: origin.epoch, sequence: 0, at: 0 }
      })
      /** The peer sends a frame. */
      const receive = (
        content: string = `${connectionId} ${connection.sequence + 1}`,
        o: FrameOrigin = origin
      ): Frame => {
        const data = Buffer.from(content)
        const frame = new Frame(o, ++connection.sequence, clock.unsafeCurrentTimeMillis(), false, data)
        accounting.sent(connectionId, data)
        lane.offer(frame)
        return frame
      }
      const receiveMany = (n: number, content?: string) => {
        for (let i = 0; i < n; i++) receive(content)
      }
      return Object.assign(connection, { id: connectionId, origin, lane, receive, receiveMany })
    }

    /** What the judge says of all that reached these topics. */
    const problems = (...topics: ReadonlyArray<string>) => {
      for (const topic of topics) for (const event of bus.eventsOf(topic)) accounting.received(event)
      return accounting.problems()
    }
    /** The sequences that reached a topic, in the order of arrival. */
    const arrived = (topic = "t") =>
      bus
        .eventsOf(topic)
        .flatMap((event) =>
          event.kind === "frame" ? [event.sequence] : event.kind === "frames" ? event.frames.map((f) => f.sequence) : []
        )
    const metric = (name: string, label = ""): number => {
      const family = metrics.collect().find((f) => f.name === `websocketmanager_${name}`)!
      const value = family.samples.find(({ labels }) => labels.map(([, v]) => v).join() === label)?.value ?? 0
      return typeof value === "number" ? value : value.count
    }
    return { bus, publisher, connect, problems, arrived, metric, now: () => clock.unsafeCurrentTimeMillis() }
  })
