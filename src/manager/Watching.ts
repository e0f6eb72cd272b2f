/** Watch and Subscribe: live streams of lifecycle events, and of a topic of the embedded bus. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { encode } from "../domain/CloudEvent.js"
import type { LifecycleEvent } from "../domain/ConnectionEvent.js"
import type { ManagerError } from "../domain/Errors.js"
import type { SubscribeResponse, WatchRequest, WatchResponse } from "../domain/Messages.js"
import { checkFilters, checkIds, checkTopic } from "../domain/Validate.js"
import { checked, type Core } from "./Core.js"
import type { EventFilter } from "./Events.js"
import { hasTags } from "./Listing.js"
import { readAll } from "./Messaging.js"

export const watch = (
  core: Core,
  request: WatchRequest
): Effect.Effect<Stream.Stream<WatchResponse>, ManagerError, Scope.Scope> =>
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

export const subscribe = (
  core: Core,
  topic: string
): Effect.Effect<Stream.Stream<SubscribeResponse>, ManagerError, Scope.Scope> =>
  Effect.gen(function* () {
    const subscription = yield* core.pubsub.subscribe(yield* checked(checkTopic(topic)))
    return Stream.repeatEffectChunk(
      Effect.map(subscription.take, ({ events, missed }) =>
        Chunk.unsafeFromArray(
          events.map((event, i) => ({ event: Buffer.from(encode(event)), missed: i === 0 ? missed : 0 }))
        )
      )
    )
  })
