/**
 * From a connection's frames to its topic: in order, at least once, in bounded memory.
 *
 * A Lane is one connection's bounded buffer towards one topic. Offering is synchronous; the Publisher takes from the lanes
 * of a topic in turn. It keeps a few requests in flight per topic, so that a slow topic delays no other.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import { steadyMillis } from "../common/SuspendAwareClock.js"
import { Settings } from "../config/Settings.js"
import type { LifecycleEvent } from "../domain/ConnectionEvent.js"
import { Metrics } from "../observability/Metrics.js"
import { PubSub } from "../ports/PubSub.js"
import { BufferUsage } from "./publish/BufferUsage.js"
import { FrameLane, type LaneContext } from "./publish/FrameLane.js"
import { GapReporter } from "./publish/Gaps.js"
import type { Lane, LaneOptions } from "./publish/Lane.js"
import { LifecyclePublisher } from "./publish/LifecyclePublisher.js"
import { Timer } from "./publish/Timer.js"
import { TopicQueue } from "./publish/TopicQueue.js"

/** Frames and events on their way to topics: bounded, in order, repeated until the broker takes them. */
export class Publisher extends Context.Tag("websocketmanager/messaging/Publisher")<
  Publisher,
  {
    readonly lane: (options: LaneOptions) => Lane
    /** To the lifecycle topic, in order per connection, through a bounded buffer (10,000; the oldest go, counted). */
    readonly announce: (event: LifecycleEvent) => void
    /** Waits until nothing waits to be published, at most this long; the number of frames and events still waiting. */
    readonly flush: (within: Duration.Duration) => Effect.Effect<number>
    /** Frames waiting, bytes waiting. */
    readonly waiting: () => { readonly frames: number; readonly bytes: number }
    /** `others`: bytes that are kept in the same room, WSM_BUFFER_MAX_BYTES. */
    readonly shareWith: (others: () => number) => void
  }
>() {}

/** Started after the bus. Stopped before it, by then drained: what still waits at that point is not published. */
export const layer: Layer.Layer<Publisher, never, PubSub | Settings | Metrics> = Layer.scoped(
  Publisher,
  Effect.gen(function* () {
    const pubsub = yield* PubSub
    const settings = yield* Settings
    const metrics = yield* Metrics
    const clock = yield* Effect.clock
    const runFork = Runtime.runFork(yield* Effect.runtime())
    const now = steadyMillis(clock)
    const makeAlarm = (ring: () => void) => new Timer(clock, now, runFork, ring)

    const tally = new BufferUsage(settings.bufferMaxBytes)
    const gaps = new GapReporter(makeAlarm, now, (defect) => {
      runFork(Effect.logError("a gap could not be told", Cause.die(defect)))
    })
    const limited = Number.isFinite(pubsub.maxEventBytes)
    const maxEventBytes = limited ? Math.min(pubsub.maxEventBytes, settings.publishMaxBytes) : Infinity
    const dropped = {
      overflow: metrics.framesDropped("overflow"),
      publish: metrics.framesDropped("publish"),
      lease: metrics.framesDropped("lease")
    }
    metrics.bufferFrames(() => [[[], tally.frames]])
    metrics.bufferBytes(() => [[[], tally.bytes]])

    const makeQueue = (topic: string) =>
      new TopicQueue(topic, {
        pubsub,
        makeAlarm,
        now,
        runFork,
        metrics,
        tally,
        batch: settings.publishBatch,
        lingerMillis: Duration.toMillis(settings.publishLinger),
        maxBytes: maxEventBytes
      })

    /** a topic is there while it has lanes; `lanes` holds the latest of each connection */
    const topics = new Map<
      string,
      { readonly host: LaneContext; readonly lanes: Map<string, FrameLane>; count: number }
    >()
    const makeTopic = (name: string) => {
      const queue = makeQueue(name)
      const lanes = new Map<string, FrameLane>()
      const retired = (lane: FrameLane) => {
        if (lanes.get(lane.connectionId) === lane) lanes.delete(lane.connectionId)
        if (--topic.count > 0) return
        topics.delete(name)
        queue.close()
      }
      const published = metrics.framesPublished
      const topic = { host: { queue, tally, gaps, published, dropped, now, maxEventBytes, retired }, lanes, count: 0 }
      topics.set(name, topic)
      return topic
    }

    const { lifecycleTopic } = settings
    const lifecycle = lifecycleTopic === "" ? undefined : makeQueue(lifecycleTopic)
    const announcer =
      lifecycle === undefined ? undefined : new LifecyclePublisher(lifecycle, tally, metrics.eventsDropped)

    const lane = (options: LaneOptions): Lane => {
      const topic = topics.get(options.topic) ?? makeTopic(options.topic)
      const made = new FrameLane(options, topic.host, topic.lanes.get(options.connectionId))
      topic.lanes.set(options.connectionId, made)
      topic.count++
      return made
    }

    const flush = (within: Duration.Duration): Effect.Effect<number> =>
      Effect.async<void>((resume) => {
        if (tally.waiting === 0) return resume(Effect.void)
        const stop = tally.onIdle(() => resume(Effect.void))
        return Effect.sync(stop)
      }).pipe(
        // the drain may not be interrupted; this wait must be, or a broker that is away would hold the drain for ever
        Effect.interruptible,
        Effect.timeoutOption(within),
        Effect.map(() => tally.waiting)
      )

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        gaps.close()
        lifecycle?.close()
        for (const { host } of topics.values()) host.queue.close()
      })
    )

    return {
      lane,
      announce: (event) => announcer?.announce(event),
      flush,
      waiting: () => ({ frames: tally.frames, bytes: tally.bytes }),
      shareWith: (others) => {
        tally.others = others
      }
    }
  })
)
