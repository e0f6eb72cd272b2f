/** Watch and Subscribe: live streams of lifecycle events, and of a topic of the embedded bus. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { encode, encodedSize, encodedSizeBound, type TopicEvent } from "../../domain/CloudEvent.js"
import type { LifecycleEvent } from "../../domain/ConnectionEvent.js"
import type { ErrorOf } from "../../domain/Methods.js"
import type { SubscribeResponse, WatchRequest, WatchResponse } from "../../domain/Messages.js"
import { checkFilters, checkIds, checkTopic } from "../../domain/validation/Validate.js"
import { checked, type ManagerContext } from "../connection/ManagerContext.js"
import type { EventFilter } from "../Events.js"
import { hasTags } from "./List.js"
import { readAll } from "./Send.js"

export const watch = (
  core: ManagerContext,
  request: WatchRequest
): Effect.Effect<Stream.Stream<WatchResponse>, ErrorOf<"Watch">, Scope.Scope> =>
  Effect.gen(function* () {
    const ids = new Set(yield* checked(checkIds(request.ids)))
    const filters = yield* checked(checkFilters(request.filters))
    const everything = ids.size === 0 && filters.length === 0
    const wanted: EventFilter = (event, subject) =>
      everything ||
      (subject !== undefined &&
        (ids.size === 0 || ids.has(event.connectionId)) &&
        (filters.length === 0 || hasTags(filters, subject.tags())))
    return readAll(yield* core.events.watch(wanted), toResponse)
  })

const toResponse = (event: LifecycleEvent, missed: number): WatchResponse => ({
  type: event.name,
  connectionId: event.connectionId,
  instanceId: event.instanceId,
  time: new Date(event.time),
  attributes: event.connectionId === "" ? event.attributes : { epoch: String(event.epoch), ...event.attributes },
  missed
})

/** What one event may have as encoded: no door carries more than 24 MiB, and something stands around it. */
const MAX_EVENT_BYTES = 24 * 1024 * 1024 - 4096
/** Encoded at a time: more would hold up the event loop, and might be too much for one message of a door. */
const PART_BYTES = 1024 * 1024

/** Events of a topic as they would leave the process. One that no door carries is counted as missed, and never encoded. */
export const subscribe = (
  core: ManagerContext,
  topic: string
): Effect.Effect<Stream.Stream<SubscribeResponse>, ErrorOf<"Subscribe">, Scope.Scope> =>
  Effect.gen(function* () {
    const subscription = yield* core.pubsub.subscribe(yield* checked(checkTopic(topic)))
    let events: ReadonlyArray<TopicEvent> = []
    let at = 0
    let missed = 0

    const part = (): Chunk.Chunk<SubscribeResponse> => {
      const encoded: Array<SubscribeResponse> = []
      let bytes = 0
      while (at < events.length && bytes < PART_BYTES) {
        const event = events[at++]!
        if (encodedSizeBound(event) > MAX_EVENT_BYTES && encodedSize(event) > MAX_EVENT_BYTES) {
          missed += 1
          continue
        }
        const data = Buffer.from(encode(event))
        encoded.push({ event: data, missed })
        bytes += data.length
        missed = 0
      }
      return Chunk.unsafeFromArray(encoded)
    }
    return Stream.repeatEffectChunk(
      Effect.suspend(() => {
        if (at < events.length) return Effect.sync(part)
        return Effect.map(subscription.take, (taken) => {
          events = taken.events
          at = 0
          missed += taken.missed
          return part()
        })
      })
    )
  })
