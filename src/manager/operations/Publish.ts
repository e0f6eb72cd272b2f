/** StartPublish and StopPublish. */
import * as Effect from "effect/Effect"
import { PermissionDenied } from "../../domain/Errors.js"
import type { Connection, StartPublishRequest } from "../../domain/Messages.js"
import type { ErrorOf } from "../../domain/Methods.js"
import { refuseTopic } from "../../domain/validation/TopicPolicy.js"
import { checkTopic, resolvePublishing } from "../../domain/validation/Validate.js"
import { closeLane, openLane } from "../connection/ConnectionLane.js"
import { checked, type ManagerContext, owned, stillOwned } from "../connection/ManagerContext.js"

/** Refuses a topic that callers may not publish to; "" is none. */
export const mayPublishTo = (core: ManagerContext, topic: string): Effect.Effect<void, PermissionDenied> => {
  const refused = topic === "" ? undefined : refuseTopic(topic, core.settings)
  return refused === undefined ? Effect.void : new PermissionDenied({ reason: refused })
}

export const startPublish = (
  core: ManagerContext,
  request: StartPublishRequest
): Effect.Effect<Connection, ErrorOf<"StartPublish">> =>
  Effect.gen(function* () {
    const topic = yield* checked(checkTopic(request.topic))
    yield* mayPublishTo(core, topic)
    const c = yield* owned(core, request.id)
    const change = Effect.gen(function* () {
      yield* stillOwned(core, c)
      const publishing = yield* checked(resolvePublishing(request.publishing, c.spec.publishing))
      const asked = c.owned.record().spec
      const spec = request.publishing === undefined ? {} : { spec: { ...asked, publishing: request.publishing } }
      yield* core.store.update(c.owned, { topic, ...spec })
      closeLane(core, c)
      c.publishesTo(topic, publishing)
      openLane(core, c)
      core.events.emit("published-to", c, { topic })
      return c.view()
    })
    return yield* c.changing.run(change)
  })

export const stopPublish = (core: ManagerContext, id: string): Effect.Effect<Connection, ErrorOf<"StopPublish">> =>
  Effect.gen(function* () {
    const c = yield* owned(core, id)
    const change = Effect.gen(function* () {
      yield* stillOwned(core, c)
      const { topic } = c
      if (topic === "") return c.view()
      yield* core.store.update(c.owned, { topic: "" })
      closeLane(core, c)
      c.publishesTo("")
      core.events.emit("unpublished", c, { topic })
      return c.view()
    })
    return yield* c.changing.run(change)
  })
