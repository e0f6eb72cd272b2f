/** ListInstances and Migrate: the members of the fleet, and one connection handed to another member. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { NoTarget } from "../../domain/Errors.js"
import type { Connection, Instance, MigrateRequest } from "../../domain/Messages.js"
import type { ErrorOf } from "../../domain/Methods.js"
import { checkMigrate } from "../../domain/validation/Validate.js"
import type { Membership } from "../../membership/Membership.js"
import type { LivePeer } from "../../membership/peers/MembershipView.js"
import type { Peer, Peers } from "../../ports/Peers.js"
import type { ManagedConnection } from "../connection/ManagedConnection.js"
import { checked, type ManagerContext, owned } from "../connection/ManagerContext.js"
import { leastLoaded } from "./Balance.js"
import type { Closing, MigrationSource } from "./MigrationSource.js"

/** What moving connections needs. */
export interface MigrationContext {
  readonly core: ManagerContext
  readonly membership: Membership["Type"]
  readonly peers: Peers["Type"]
  readonly source: MigrationSource
}

/** For people and for balance: this instance's own count is the one of this moment, the others' those of their last beat. */
export const instances = ({
  core,
  membership
}: MigrationContext): Effect.Effect<ReadonlyArray<Instance>, ErrorOf<"ListInstances">> =>
  Effect.map(membership.instances, (all) =>
    all.map((instance) =>
      instance.id === core.instanceId ? { ...instance, connections: core.connections.size } : instance
    )
  )

/** Instances that can take work, this one excluded. */
export const targets = ({ core, membership }: MigrationContext): ReadonlyArray<LivePeer> =>
  membership.live().filter(({ id }) => id !== core.instanceId)

/** Connections of each instance, as its last beat told. */
export const loads = (fleet: MigrationContext): Effect.Effect<Map<string, number>, ErrorOf<"ListInstances">> =>
  Effect.map(instances(fleet), (all) => new Map(all.map(({ connections, id }) => [id, connections])))

const CLOSING: Closing = { code: 1000, reason: "moved to another instance" }

/** How many targets are tried where the manager chooses: each costs a feed without overlap its socket for a moment. */
const TRIES = 3

export const migrate = (
  fleet: MigrationContext,
  request: MigrateRequest
): Effect.Effect<Connection, ErrorOf<"Migrate">> =>
  Effect.gen(function* () {
    const { core, source } = fleet
    const { id, target } = yield* checked(checkMigrate(request))
    const c = yield* owned(core, id)
    if (target === core.instanceId) return c.view()
    const noTarget = new NoTarget({ id: c.id, ...(target === undefined ? {} : { target }) })
    let candidates = targets(fleet).filter((peer) => target === undefined || peer.id === target)
    if (candidates.length === 0) return yield* noTarget
    const load = candidates.length === 1 ? new Map<string, number>() : yield* loads(fleet)
    for (let tries = TRIES; tries > 0; tries--) {
      const to = leastLoaded(candidates, (id) => load.get(id) ?? 0)
      if (to === undefined) break
      const outcome = yield* source.migrateTo(c, to, CLOSING)
      if (outcome === "migrated") return yield* shownBy(fleet, to, c)
      if (outcome === "released") return (yield* owned(core, c.id)).view()
      candidates = candidates.filter((peer) => peer !== to)
    }
    return yield* noTarget
  })

/** As its new owner shows it; what is known here, where that one does not answer. */
const shownBy = ({ peers }: MigrationContext, owner: Peer, c: ManagedConnection): Effect.Effect<Connection> =>
  peers.call(owner.address, "Get", { id: c.id }).pipe(
    Effect.timeoutOption("1 second"),
    Effect.orElseSucceed(() => Option.none<unknown>()),
    Effect.map((answer) => {
      const shown = Option.filter(answer, isShown)
      return Option.isSome(shown) ? shown.value.connection : { ...c.view(), instanceId: owner.id }
    })
  )

const isShown = (answer: unknown): answer is { readonly connection: Connection } =>
  typeof answer === "object" && answer !== null && "connection" in answer && answer.connection !== undefined
