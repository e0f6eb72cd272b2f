/**
 * The receiving end of a planned move: claims what is offered, dials it, and tells the former owner.
 *
 * Break before make: it is told at once, and has published all it read by then. Make before break: it is told when the new
 * socket is open; what the target reads waits until the former owner answers that it has published its last frame. The
 * reason: a consumer drops older epochs from the first frame of this one on.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Position } from "../../domain/ConnectionEvent.js"
import { shouldBeUp } from "../../domain/ConnectionStatus.js"
import type { ClaimedConnection } from "../../ownership/records/OwnedConnection.js"
import type { HandoverOffer, Peer, Peers } from "../../ports/Peers.js"
import { gap } from "../connection/ConnectionLane.js"
import type { ManagedConnection } from "../connection/ManagedConnection.js"
import type { ManagerContext } from "../connection/ManagerContext.js"
import { adoptStored, failRefused } from "../connection/Registry.js"

/** How long the former owner may take to answer that it has published its last frame. */
const FORMER_OWNER_TIMEOUT = Duration.seconds(5)
const CONFIRM_RETRY_SCHEDULE = Schedule.spaced("300 millis")
/** A store that does not answer is asked again for so long; the former owner takes it back meanwhile. */
const CLAIM_RETRY_SCHEDULE = Schedule.spaced("200 millis").pipe(Schedule.intersect(Schedule.recurs(10)))
/** The longest that a former owner which hears nothing keeps its socket: its patience, and what it needs to ask the store. */
const SHARED_FOR = Duration.seconds(25)

/** True: it will be tried. */
export type AcceptMigration = (from: Peer, handover: HandoverOffer) => Effect.Effect<boolean>

export const make = (core: ManagerContext, peers: Peers["Type"]): AcceptMigration => {
  /** The former owner's answer; undefined: it gave none in time. */
  const tell = (c: ManagedConnection, from: Peer, epoch: number): Effect.Effect<boolean | undefined> => {
    const { incarnation } = c.owned.life
    const me = { id: core.instanceId, incarnation, address: core.address }
    return peers
      .confirmHandover(from.address, me, c.id, epoch)
      .pipe(
        Effect.retry({ schedule: CONFIRM_RETRY_SCHEDULE, while: (failure) => failure._tag === "PeerSilent" }),
        Effect.timeoutOption(FORMER_OWNER_TIMEOUT),
        Effect.match({ onFailure: () => undefined, onSuccess: Option.getOrUndefined })
      )
  }

  const receive = (from: Peer, handover: HandoverOffer): Effect.Effect<void> =>
    Effect.gen(function* () {
      const { epoch, id, overlap } = handover
      const claimed = yield* Effect.either(Effect.retry(core.store.claimHandover(id, epoch), CLAIM_RETRY_SCHEDULE))
      if (Either.isLeft(claimed))
        return yield* Effect.logWarning("a connection offered here was not claimed", claimed.left)
      if (Option.isNone(claimed.right)) return yield* Effect.logDebug("a connection is not offered here any more")
      const handed = claimed.right.value
      const c = yield* adopted(handed, overlap)
      const up = shouldBeUp(c.status)
      if (!up || !overlap) {
        core.fork(tell(c, from, epoch))
        migrated(c, handed, 0)
        if (up) yield* core.supervisor.start(c, { failFast: false })
        return
      }
      yield* overlapping(from, epoch, handed, c)
    }).pipe(Effect.annotateLogs({ connection: handover.id }))

  /** Under our incarnation, its socket not dialled yet. */
  const adopted = ({ before, owned }: ClaimedConnection, overlap: boolean): Effect.Effect<ManagedConnection> =>
    Effect.sync(() => {
      // with an overlap nothing is missing, unless the former owner does not say so
      const c = adoptStored(core, owned, before, overlap ? undefined : before.last)
      failRefused(core, c)
      if (overlap) c.movedHere(core.steady() + Duration.toMillis(SHARED_FOR))
      return c
    })

  const overlapping = (
    from: Peer,
    epoch: number,
    handed: ClaimedConnection,
    c: ManagedConnection
  ): Effect.Effect<void> =>
    Effect.gen(function* () {
      const opened = yield* opening(c)
      if (!opened) {
        // the former owner's socket is all that is left of it, and no other one comes
        core.fork(tell(c, from, epoch))
        return
      }
      const since = core.steady()
      const first: Position = { epoch: c.epoch, sequence: 1, at: c.connectedAt }
      // no topic changes and no further move, before what waits may be published
      const complete = yield* c.changing.run(tell(c, from, epoch))
      if (complete !== true && !c.isGone()) gap(core, c, "takeover", handed.before.last, first, "unknown")
      migrated(c, handed, complete === true ? Math.round(core.steady() - since) : 0)
    }).pipe(Effect.ensuring(Effect.sync(() => c.publishingReleased())))

  /** Dials; whether it opened before it was removed, moved on, or the incarnation ended. */
  const opening = (c: ManagedConnection): Effect.Effect<boolean> =>
    Effect.gen(function* () {
      const settled = yield* Deferred.make<boolean>()
      c.onceSettled((open) => Deferred.unsafeDone(settled, Effect.succeed(open)))
      yield* core.supervisor.start(c, { failFast: false })
      return yield* Deferred.await(settled)
    })

  const migrated = (c: ManagedConnection, { from }: ClaimedConnection, overlapMs: number): void =>
    core.events.emit("migrated", c, {
      migratefrom: from,
      migrateto: core.instanceId,
      overlapms: String(overlapMs)
    })

  return (from, handover) =>
    Effect.sync(() => {
      const takesWork = core.phase.get() === "ready" && core.lease.valid()
      if (!takesWork || core.connections.has(handover.id)) return false
      core.fork(receive(from, handover))
      return true
    })
}
