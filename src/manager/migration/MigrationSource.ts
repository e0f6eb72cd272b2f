/**
 * The giving end of a planned move (src/ownership/README.md, Leaving): the record names the target, the target is told, claims,
 * and says so; not confirmed in time, the connection is taken back at the same epoch, and if that fails let go.
 *
 * A consumer drops what comes of an old epoch after the first frame of a new one. So the last frame read here is published,
 * or given up and told, before the target is answered; until then the target keeps what it reads to itself. Break before
 * make: the socket is closed before the target is told. Make before break: it is closed when the target's is open.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { shouldBeUp } from "../../domain/ConnectionStatus.js"
import type { Membership } from "../../membership/Membership.js"
import type { Peer, Peers } from "../../ports/Peers.js"
import { dropUnpublished } from "../connection/ConnectionLane.js"
import { statusChange } from "../connection/ConnectionLoop.js"
import type { ManagedConnection } from "../connection/ManagedConnection.js"
import type { ManagerContext } from "../connection/ManagerContext.js"
import { abandon, forget } from "../connection/Registry.js"

/** How long the target may take to claim it, while no socket is open. */
const CLAIM_WITHIN = Duration.seconds(5)
/** How long the target may take to open its socket, while this one's is open: dial budget, dial and handshake. */
const OPEN_WITHIN = Duration.seconds(20)
/** How long what was read may take to reach the broker; the target waits a little longer. */
const PUBLISH_WITHIN = Duration.seconds(3)
const CONFIRM_RETRY_DELAY = "500 millis"
/** Moves that came to an end, kept for a target that asks again because the answer was lost. */
const MAX_CONFIRMED_MOVES = 4096

/** `migrated`: the target owns it. `retained`: it is here as before. `released`: it is neither here nor the target's. */
export type MigrationOutcome = "migrated" | "retained" | "released"

/** What the peer reads when its socket is closed for a move; the connection's own `leave_code` stands over the code. */
export interface Closing {
  readonly code: number
  readonly reason: string
}

export interface MigrationSource {
  /** Hands one connection over. It comes to its end whether or not the caller waits. */
  readonly migrateTo: (c: ManagedConnection, target: Peer, closing: Closing) => Effect.Effect<MigrationOutcome>
  /**
   * The target's word that it owns the connection, and that its socket is open where that is waited for. True: everything
   * read here is published or told. False: this end had let go before, or knows nothing of the move.
   */
  readonly confirm: (from: Peer, id: string, epoch: number) => Effect.Effect<boolean>
}

interface Move {
  readonly c: ManagedConnection
  readonly target: Peer
  readonly closing: Closing
  /** it was dialled, or open */
  readonly up: boolean
  /** make before break: its socket stays open until the target's is */
  readonly overlap: boolean
  /** the target's word */
  readonly heard: Deferred.Deferred<void>
  /** steady milliseconds of that word */
  heardAt: number | undefined
  /** whether everything read here was published or told before the target was answered */
  readonly over: Deferred.Deferred<boolean>
}

export const make = (core: ManagerContext, membership: Membership["Type"], peers: Peers["Type"]): MigrationSource => {
  const moves = new Map<string, Move>()
  const completed = new Set<string>()

  const give: MigrationSource["migrateTo"] = (c, target, closing) =>
    Effect.gen(function* () {
      const answer = yield* Deferred.make<MigrationOutcome>()
      const work = Effect.zipRight(awaitFormerOwner(c), c.changing.run(handOver(c, target, closing))).pipe(
        Effect.catchAllDefect((defect) => Effect.as(Effect.logError("a move failed", defect), "released" as const)),
        Effect.onExit((exit) => Deferred.done(answer, exit)),
        Effect.annotateLogs({ connection: c.id, epoch: c.epoch })
      )
      core.fork(work)
      return yield* Deferred.await(answer)
    })

  /** A connection that was received with an overlap is given on once its former owner has confirmed, or must have let go. */
  const awaitFormerOwner = (c: ManagedConnection): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { migration } = c
      if (migration._tag !== "Target" || c.isGone()) return Effect.void
      const left = Math.max(0, migration.confirmBy - core.steady())
      return Effect.asVoid(Effect.timeoutOption(Deferred.await(migration.confirmed), left))
    })

  const isHere = (c: ManagedConnection) => !c.isGone() && core.connections.get(c.id) === c && c.owned.isOwned()

  const handOver = (c: ManagedConnection, target: Peer, closing: Closing): Effect.Effect<MigrationOutcome> =>
    Effect.gen(function* () {
      if (!isHere(c)) return "released"
      const over = yield* Deferred.make<boolean>()
      const move: Move = {
        c,
        target,
        closing,
        over,
        up: shouldBeUp(c.status),
        overlap: c.spec.makeBeforeBreak && c.session !== undefined,
        heard: yield* Deferred.make<void>(),
        heardAt: undefined
      }
      moves.set(c.id, move)
      c.moveBegun(Effect.asVoid(Deferred.await(over)))
      return yield* Effect.ensuring(
        carryOut(move),
        Effect.suspend(() => {
          moves.delete(c.id)
          c.moveEnded()
          return Deferred.succeed(over, false)
        })
      )
    })

  const carryOut = (move: Move): Effect.Effect<MigrationOutcome> =>
    Effect.gen(function* () {
      const { c, closing, overlap, target } = move
      // without an overlap a target or a store that is gone would cost its socket for nothing
      const { life } = c.owned
      if (!overlap && (!life.valid() || life.storeAway() || !(yield* answers(c, target)))) return "retained"
      // Before the record names the target. The target may claim from then on, and need not be told. Its claim of an
      // earlier offer, which was taken back, may still read the record.
      if (!overlap) {
        yield* core.supervisor.pause(c, c.spec.reconnect.leaveCode ?? closing.code, closing.reason)
        c.change("lost")
        yield* published(c)
        c.publishingHeld()
      }
      // A socket that is lost from here on is not dialled anew while the target's is. A peer that allows only one would
      // close them in turn. Also while the record is written: the target may claim from then on.
      c.moveOverlaps(overlap)
      const offered = yield* Effect.either(core.store.offerHandover(c.owned, target, () => statusChange(c)))
      if (Either.isLeft(offered)) {
        if (offered.left.outcome !== "unknown") return yield* goOn(move)
        // whether the record names the target is not known, and the target was not told: it is as it was, or taken back
        return yield* takenBack(move)
      }
      if (!offered.right) return yield* letGo(move)
      const taken = yield* Effect.either(
        peers.offerHandover(target.address, me(c), { id: c.id, epoch: c.epoch, overlap })
      )
      if (Either.isRight(taken) && taken.right) yield* confirmed(move)
      return (yield* Deferred.isDone(move.heard)) ? yield* complete(move) : yield* takenBack(move)
    })

  const me = (c: ManagedConnection): Peer => ({
    id: core.instanceId,
    incarnation: c.owned.life.incarnation,
    address: core.address
  })

  const answers = (c: ManagedConnection, { address, incarnation }: Peer): Effect.Effect<boolean> =>
    peers.hello(address, me(c)).pipe(
      Effect.map((greeting) => greeting.incarnation === incarnation),
      Effect.orElseSucceed(() => false)
    )

  /** Until the target's word, its death, or the end of patience. */
  const confirmed = ({ heard, overlap, target }: Move): Effect.Effect<void> =>
    Deferred.await(heard).pipe(
      Effect.raceFirst(
        Effect.async<void>((resume) => {
          const stop = membership.onInstance(({ incarnation, name }) => {
            if (incarnation !== target.incarnation) return
            if (name === "instance-dead" || name === "instance-left") resume(Effect.void)
          })
          return Effect.sync(stop)
        })
      ),
      Effect.timeoutOption(overlap ? OPEN_WITHIN : CLAIM_WITHIN),
      Effect.asVoid
    )

  /** Not confirmed in time: back at the same epoch, and a claim that is still on its way fails; or it was claimed after all. */
  const takenBack = (move: Move): Effect.Effect<MigrationOutcome> =>
    Effect.gen(function* () {
      const { c } = move
      for (;;) {
        const mine = yield* Effect.either(core.store.takeBack(c.owned))
        if (yield* Deferred.isDone(move.heard)) return yield* complete(move)
        if (Either.isRight(mine)) {
          if (!mine.right) return yield* letGo(move)
          break
        }
        yield* Effect.logWarning("a move cannot be taken back yet", mine.left)
        yield* Effect.sleep(CONFIRM_RETRY_DELAY)
      }
      return yield* goOn(move)
    })

  /** It stays here: a socket that was closed for the move, or lost during it, is dialled anew. */
  const goOn = ({ c, up }: Move): Effect.Effect<MigrationOutcome> =>
    Effect.gen(function* () {
      c.publishingReleased()
      const ended = c.isHalted() || (c.isOverlapping() && c.session === undefined)
      c.moveOverlaps(false)
      if (ended && up && isHere(c)) {
        c.change("lost")
        yield* core.supervisor.start(c, { failFast: false })
      }
      return "retained" as const
    })

  /** It is not ours by the record: what was read is published as far as it goes, and the record tells whose it is. */
  const letGo = (move: Move): Effect.Effect<MigrationOutcome> =>
    Effect.gen(function* () {
      const { c, target } = move
      if (c.owned.life.ended() || core.connections.get(c.id) !== c) return "released" as const
      const read = yield* Effect.either(core.store.read(c.id))
      if (Either.isLeft(read) || Option.isNone(read.right) || read.right.value.incarnation !== target.incarnation) {
        yield* abandon(core, c)
        return "released" as const
      }
      return (yield* complete(move)) satisfies MigrationOutcome
    })

  /** The target owns it: this end stops, and says what it could not publish. */
  const complete = (move: Move): Effect.Effect<MigrationOutcome> =>
    Effect.gen(function* () {
      const { c, closing, overlap, target } = move
      const present = core.connections.get(c.id)
      // claimed anew from a target that died: this epoch is over here too
      if (present !== undefined && present !== c) return "released" as const
      const since = move.heardAt ?? core.steady()
      c.publishingReleased()
      yield* core.supervisor.stop(c, c.spec.reconnect.leaveCode ?? closing.code, closing.reason)
      c.change("lost")
      const overlapMs = overlap ? Math.round(core.steady() - since) : 0
      yield* published(c)
      dropUnpublished(core, c)
      core.events.emit("migrated", c, {
        migratefrom: core.instanceId,
        migrateto: target.id,
        overlapms: String(overlapMs)
      })
      forget(c)
      core.store.handedOver(c.owned)
      if (core.connections.get(c.id) === c) core.connections.delete(c.id)
      if (move.heardAt !== undefined) {
        remember(move)
        yield* Deferred.succeed(move.over, true)
      }
      return "migrated" as const
    })

  const remember = ({ c, target }: Move): void => {
    completed.add(nameOf(target, c.id, c.epoch))
    if (completed.size > MAX_CONFIRMED_MOVES) completed.delete(completed.values().next().value!)
  }

  const moved: MigrationSource["confirm"] = (from, id, epoch) =>
    Effect.suspend(() => {
      const move = moves.get(id)
      if (move === undefined || move.c.epoch !== epoch || move.target.incarnation !== from.incarnation) {
        return Effect.succeed(completed.has(nameOf(from, id, epoch)))
      }
      move.heardAt ??= core.steady()
      return Effect.zipRight(Deferred.succeed(move.heard, undefined), Deferred.await(move.over))
    })

  return { migrateTo: give, confirm: moved }
}

const nameOf = ({ incarnation }: Peer, id: string, epoch: number): string => `${incarnation} ${id} ${epoch}`

const published = (c: ManagedConnection): Effect.Effect<void> =>
  Effect.suspend(() =>
    c.lane === undefined ? Effect.void : Effect.asVoid(Effect.timeoutOption(c.lane.drained, PUBLISH_WITHIN))
  )
