/** ListInstances, Migrate and Rebalance: what one instance can do for the fleet it is alone in. */
import * as Effect from "effect/Effect"
import { type ManagerError, NoTarget } from "../domain/Errors.js"
import type { Connection, MigrateRequest, RebalanceRequest, RebalanceResponse } from "../domain/Messages.js"
import { checkMigrate, checkRebalance } from "../domain/Validate.js"
import { checked, type Core, owned } from "./Core.js"

export const migrate = (core: Core, request: MigrateRequest): Effect.Effect<Connection, ManagerError> =>
  Effect.gen(function* () {
    const { id, target } = yield* checked(checkMigrate(request))
    yield* owned(core, id)
    return yield* new NoTarget({ id, ...(target === undefined ? {} : { target }) })
  })

/** Alone there is nobody to move anything to: the count is the answer. */
export const rebalance = (core: Core, request: RebalanceRequest): Effect.Effect<RebalanceResponse, ManagerError> =>
  Effect.map(checked(checkRebalance(request)), () => ({
    moved: 0,
    failed: 0,
    connections: { [core.instanceId]: core.connections.size }
  }))
