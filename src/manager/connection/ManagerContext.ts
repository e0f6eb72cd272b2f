/** What the operations share: the connections of this instance, and what is needed to keep them. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { ByteBudget } from "../../common/ByteBudget.js"
import type { SettingsShape } from "../../config/SettingsShape.js"
import {
  ConnectionNotFound,
  InstanceDraining,
  type InvalidRequest,
  OwnerUnreachable,
  StateStoreUnavailable
} from "../../domain/Errors.js"
import type { ConnectionRecord } from "../../domain/stored/ConnectionRecord.js"
import { checkId } from "../../domain/validation/Validate.js"
import type { Lease } from "../../membership/lease/Lease.js"
import type { Publisher } from "../../messaging/Publisher.js"
import type { SendTurn } from "../../messaging/SendTurn.js"
import type { Essentials } from "../../observability/Essentials.js"
import type { MetricsShape } from "../../observability/Metrics.js"
import type { ConnectionStore } from "../../ownership/ConnectionStore.js"
import type { PubSub } from "../../ports/PubSub.js"
import type { Sessions } from "../../socket/wire/Session.js"
import type { Events } from "../Events.js"
import type { Phase } from "../Health.js"
import type { ConnectionTable } from "./ConnectionTable.js"
import type { ManagedConnection } from "./ManagedConnection.js"
import type { Probation } from "./Probation.js"
import type { Supervisor } from "./Supervisor.js"

export interface ManagerContext {
  readonly instanceId: string
  /** where peers forward to */
  readonly address: string
  readonly settings: SettingsShape
  readonly metrics: MetricsShape
  readonly essentials: Essentials["Type"]
  readonly events: Events["Type"]
  readonly lease: Lease["Type"]
  readonly store: ConnectionStore["Type"]
  readonly publisher: Publisher["Type"]
  readonly pubsub: PubSub["Type"]
  readonly sessions: Sessions["Type"]
  readonly supervisor: Supervisor
  readonly probation: Probation
  readonly phase: Phase
  /** what all connections together keep to be sent */
  readonly kept: ByteBudget
  /** what callers send takes turns */
  readonly sending: SendTurn
  /** the connections this instance owns under its present incarnation */
  readonly connections: ConnectionTable
  /** being removed: hidden from reads although the record still exists */
  readonly removing: Set<string>
  /** milliseconds since 1970 */
  readonly now: () => number
  /** the same, read once a turn of the event loop */
  readonly turnTime: () => number
  /** milliseconds of a clock that is never set: for durations */
  readonly steady: () => number
  /** Runs beside the caller, until the manager is closed. */
  readonly fork: (effect: Effect.Effect<unknown>) => void
  /** Done when what a former incarnation left has been claimed. */
  readonly recovered: Effect.Effect<void>
  readonly claims: Claims
}

/** What is claimed from others, and an instance that leaves. */
export interface Claims {
  /** open while nothing is claimed that is not a connection here yet */
  readonly drained: Effect.Latch
  /** what still comes is left to the next claimer */
  closed: boolean
}

/** An Either of the pure checks as an Effect. */
export const checked = <A>(either: Either.Either<A, InvalidRequest>): Effect.Effect<A, InvalidRequest> =>
  Either.isRight(either) ? Effect.succeed(either.right) : Effect.fail(either.left)

/** The connection, if this instance owns it; else an error that names its owner, or says that it has none. */
export const owned = (
  core: ManagerContext,
  id: string
): Effect.Effect<ManagedConnection, InvalidRequest | ConnectionNotFound | OwnerUnreachable | StateStoreUnavailable> =>
  Effect.gen(function* () {
    const canonical = yield* checked(checkId(id))
    const local = core.connections.get(canonical)
    if (local !== undefined) return local
    const record = yield* elsewhere(core, canonical)
    const now = core.connections.get(canonical)
    if (now !== undefined) return now
    return yield* new OwnerUnreachable({ owner: record.owner })
  })

/** Refuses a call that waited its turn while its connection was removed, given away or fenced. */
export const stillOwned = (core: ManagerContext, c: ManagedConnection) =>
  Effect.gen(function* () {
    if (!c.isGone()) return
    const now = yield* owned(core, c.id)
    if (now === c) return yield* new InstanceDraining({ id: core.instanceId })
    return yield* new OwnerUnreachable({ owner: core.instanceId })
  })

/** The connection once a planned move of it, if there is one, has come to an end; fails where it is another's then. */
export const settledHere = (core: ManagerContext, c: ManagedConnection) =>
  c.migration._tag === "Source" ? Effect.flatMap(c.migration.over, () => owned(core, c.id)) : Effect.succeed(c)

/** How long a call waits for what a former incarnation of this instance left to be claimed. */
const CLAIM_WAIT = "5 seconds"

/** What a former incarnation left is in this one's hands, or will not be soon. */
export const whenRecovered = (core: ManagerContext): Effect.Effect<void> =>
  Effect.asVoid(Effect.timeoutOption(core.recovered, CLAIM_WAIT))

/** The record of a connection that is not in this instance's hands. */
export const elsewhere = (
  core: ManagerContext,
  canonical: string
): Effect.Effect<ConnectionRecord, ConnectionNotFound | StateStoreUnavailable> =>
  Effect.gen(function* () {
    if (core.removing.has(canonical)) return yield* new ConnectionNotFound({ id: canonical })
    const read = yield* core.store.read(canonical)
    if (Option.isNone(read)) return yield* new ConnectionNotFound({ id: canonical })
    if (read.value.owner === core.instanceId) yield* whenRecovered(core)
    return read.value
  })

/** How long new work waits for an instance that has not joined yet. */
const JOIN_WAIT = "10 seconds"

/** Waits while booting, refuses new work while draining, and while nothing may be written. */
export const acceptsWork = (core: ManagerContext): Effect.Effect<void, InstanceDraining | StateStoreUnavailable> =>
  Effect.gen(function* () {
    const booting = core.phase.get() === "booting" || core.phase.get() === "fenced"
    if (booting) {
      const reason = `this instance has not joined within ${JOIN_WAIT}`
      yield* Effect.timeoutFail(core.recovered, {
        duration: JOIN_WAIT,
        onTimeout: () => new StateStoreUnavailable({ reason })
      })
    }
    const phase = core.phase.get()
    if (phase === "draining" || phase === "left") return yield* new InstanceDraining({ id: core.instanceId })
    if (!core.lease.valid()) return yield* new StateStoreUnavailable({ reason: "this instance holds no lease now" })
  })
