/** ListInstances, Migrate and Rebalance: what one instance can do for the fleet it is alone in. */
import * as Effect from "effect/Effect"
import { type ManagerError, NoTarget } from "../domain/Errors.js"
import type { Connection, MigrateRequest, RebalanceResponse } from "../domain/Messages.js"
import { text } from "../domain/Check.js"
import { checked, type Core, owned } from "./Core.js"

export const migrate = (core: Core, request: MigrateRequest): Effect.Effect<Connection, ManagerError> =>
  Effect.gen(function* () {
    const target = yield* checked(text("targetInstanceId", request.targetInstanceId ?? "", 128))
    const c = yield* owned(core, request.id)
    return yield* new NoTarget({ id: c.id, ...(target === "" ? {} : { target }) })
  })

/** Alone there is nobody to move anything to: the count is the answer. */
export const rebalance = (core: Core): Effect.Effect<RebalanceResponse> =>
  Effect.sync(() => ({ moved: 0, failed: 0, connections: { [core.instanceId]: core.connections.size } }))
