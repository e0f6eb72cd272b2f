/**
 * A bus inside the process. Events are handed on as they are; a topic without readers costs one map look-up.
 *
 * Each reader has a bounded buffer of its own; a reader that falls behind misses the oldest, counted. A reader that keeps
 * up misses nothing. Where a batch would not fit, the publisher lets the other fibers run first, a few times and no longer.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { DropOldestBuffer } from "../../common/DropOldestBuffer.js"
import { CALLER } from "../../domain/Limits.js"
import { type Publish, type PublishFailure, PubSub, type Subscription, type TopicEvent } from "../../ports/PubSub.js"

/** How often a publish stands back for readers that are ready to run. */
const STAND_BACK = 8
/** A batch beyond this goes in parts, so that a part fits into an empty buffer. */
const PART_ITEMS = 256
const PART_BYTES = 1024 * 1024
/** What an event holds beyond its payload, roughly. */
const OVERHEAD_BYTES = 128

const NONE: ReadonlyArray<PublishFailure> = []
const NO_FAILURES: Effect.Effect<ReadonlyArray<PublishFailure>> = Effect.succeed(NONE)

type Reader = DropOldestBuffer<TopicEvent>

/** Lives as long as it has readers. */
interface Topic {
  readonly readers: Set<Reader>
  /** Publishers that found no room go one after another. So each keeps the room that it has waited for. */
  readonly turn: Effect.Semaphore
  queued: number
}

/** A bus in memory, with bounded readers: a slow one misses the oldest events, and is told how many. */
export const make = (): PubSub["Type"] => {
  const topics = new Map<string, Topic>()

  const publish = (name: string, batch: ReadonlyArray<TopicEvent>, from: number) =>
    Effect.suspend((): Effect.Effect<ReadonlyArray<PublishFailure>> => {
      const topic = topics.get(name)
      if (topic === undefined) return NO_FAILURES
      const part = partOf(batch, from)
      if (topic.queued > 0 || !haveRoom(topic, part)) return Effect.zipRight(inTurn(topic, part), rest(name, part))
      push(topic, part)
      return rest(name, part)
    })
  const rest = (name: string, { batch, to }: Part) => (to === batch.length ? NO_FAILURES : publish(name, batch, to))

  const publishNow: Publish["now"] = (name, batch) => {
    const topic = topics.get(name)
    if (topic === undefined) return NONE
    if (topic.queued > 0 || batch.length > PART_ITEMS) return undefined
    const part = partOf(batch, 0)
    if (part.to < batch.length || !haveRoom(topic, part)) return undefined
    push(topic, part)
    return NONE
  }

  const subscribe = (name: string): Effect.Effect<Subscription, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const filled = Effect.unsafeMakeLatch(false)
        const reader: Reader = new DropOldestBuffer(() => filled.unsafeOpen(), CALLER.READER_ITEMS, CALLER.READER_BYTES)
        const take: Subscription["take"] = Effect.suspend(() => {
          if (reader.size === 0) return Effect.zipRight(filled.await, take)
          filled.unsafeClose()
          const { items, missed } = reader.takeAll()
          return Effect.succeed({ events: items, missed })
        })
        const topic = topics.get(name) ?? { readers: new Set(), turn: Effect.unsafeMakeSemaphore(1), queued: 0 }
        topics.set(name, topic)
        topic.readers.add(reader)
        return { topic, reader, take }
      }),
      ({ reader, topic }) =>
        Effect.sync(() => {
          topic.readers.delete(reader)
          if (topic.readers.size === 0) topics.delete(name)
        })
    ).pipe(Effect.map(({ take }) => ({ take })))

  return {
    orderedWithinBatch: true,
    maxEventBytes: Infinity,
    publish: Object.assign((topic: string, batch: ReadonlyArray<TopicEvent>) => publish(topic, batch, 0), {
      now: publishNow
    }),
    subscribe,
    ping: Effect.void
  }
}

/** The entries `from` up to, not including, `to`. */
interface Part {
  readonly batch: ReadonlyArray<TopicEvent>
  readonly from: number
  readonly to: number
  readonly bytes: number
}

const partOf = (batch: ReadonlyArray<TopicEvent>, from: number): Part => {
  const most = Math.min(batch.length, from + PART_ITEMS)
  let to = from
  let bytes = 0
  while (to < most) {
    const more = bytesOf(batch[to]!)
    if (to > from && bytes + more > PART_BYTES) break
    bytes += more
    to += 1
  }
  return { batch, from, to, bytes }
}

const push = ({ readers }: Topic, { batch, from, to }: Part): void => {
  for (const reader of readers) for (let i = from; i < to; i++) reader.offer(batch[i]!, bytesOf(batch[i]!))
}

/** Whether every reader has room. Readers that miss something already do not count: they have had their chance. */
const haveRoom = ({ readers }: Topic, { bytes, from, to }: Part): boolean => {
  for (const reader of readers) if (reader.missed === 0 && !reader.hasRoom(to - from, bytes)) return false
  return true
}

const inTurn = (topic: Topic, part: Part): Effect.Effect<void> => {
  const standBack = (times: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (times > 0 && !haveRoom(topic, part)) return Effect.zipRight(Effect.yieldNow(), standBack(times - 1))
      push(topic, part)
      return Effect.void
    })
  return Effect.suspend(() => {
    topic.queued += 1
    return Effect.ensuring(
      topic.turn.withPermits(1)(standBack(STAND_BACK)),
      Effect.sync(() => {
        topic.queued -= 1
      })
    )
  })
}

const bytesOf = (event: TopicEvent): number => {
  if (event.kind === "frame") return event.data.length + OVERHEAD_BYTES
  if (event.kind === "lifecycle") return 4 * OVERHEAD_BYTES
  let bytes = OVERHEAD_BYTES
  for (const frame of event.frames) bytes += frame.data.length + OVERHEAD_BYTES
  return bytes
}

/** A bus of its own, for one manager. */
export const layer: Layer.Layer<PubSub> = Layer.sync(PubSub, make)
