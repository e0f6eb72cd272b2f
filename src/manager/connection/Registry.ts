/**
 * How owned records become living connections, and how they cease to be. They are created, claimed after a restart, given
 * up when their incarnation has ended.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ByteBudget } from "../../common/ByteBudget.js"
import type { Position } from "../../domain/ConnectionEvent.js"
import { FAILED, shortStatus, shouldBeUp } from "../../domain/ConnectionStatus.js"
import { CALLER } from "../../domain/Limits.js"
import type { ResolvedSpec } from "../../domain/Spec.js"
import type { ConnectionRecord } from "../../domain/stored/ConnectionRecord.js"
import { resolveStored } from "../../domain/stored/StoredSpec.js"
import { QUARANTINED } from "../../domain/stored/Trial.js"
import * as Correlator from "../../messaging/correlation/Correlator.js"
import type { Owned } from "../../ownership/ConnectionStore.js"
import type { OrphanClaim } from "../../ownership/records/OwnedConnection.js"
import { endWithLife, openLane } from "./ConnectionLane.js"
import { statusChange } from "./ConnectionLoop.js"
import { ManagedConnection } from "./ManagedConnection.js"
import type { ManagerContext } from "./ManagerContext.js"

/** From an owned record to a connection with its lane; nothing is dialled yet. */
export const adopt = (
  core: ManagerContext,
  owned: Owned,
  spec: ResolvedSpec,
  inherited: Position | undefined
): ManagedConnection => {
  const budget = new ByteBudget(CALLER.CONNECTION_BYTES, core.kept)
  const c: ManagedConnection = new ManagedConnection(
    owned,
    core.instanceId,
    spec,
    Correlator.make(owned.id, { budget, outOfStep: () => core.fork(inStepAgain(core, c)) }),
    budget,
    inherited,
    core.now,
    core.turnTime,
    core.metrics.framesReceived
  )
  core.connections.set(c.id, c)
  openLane(core, c)
  return c
}

/** A reply in mode NEXT that never came: only a new socket tells what comes next from what this one owes. */
const inStepAgain = (core: ManagerContext, c: ManagedConnection): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (c.session === undefined || c.isHalted() || c.isGone() || c.isMoving()) return Effect.void
    core.events.emit("error", c, { error: "OutOfStep", message: OUT_OF_STEP })
    c.failedWith(`OutOfStep: ${OUT_OF_STEP}`)
    return Effect.ignore(core.supervisor.restart(c, OUT_OF_STEP))
  })

const OUT_OF_STEP = "a reply in mode NEXT did not come"

/** As `adopt`, for what the store has; `failRefused` says what becomes of a spec that may not be acted for any more. */
export const adoptStored = (
  core: ManagerContext,
  owned: Owned,
  before: ConnectionRecord,
  inherited: Position | undefined
): ManagedConnection => {
  const { refused, spec } = resolveStored(before.spec)
  const c = adopt(core, owned, spec, inherited)
  c.specRefused(refused)
  return c
}

/** Not dialled, and shown: FAILED, with the reason. */
export const failRefused = (core: ManagerContext, c: ManagedConnection): void => {
  const { refused } = c
  if (refused === undefined || !shouldBeUp(c.status)) return
  c.failedWith(`${refused._tag}: ${refused.message}`)
  core.events.emit("error", c, { error: refused._tag, message: refused.message })
  c.change("gave-up")
  core.events.emit("failed", c, { closecode: String(c.lastCloseCode), reason: refused.message })
  core.store.note(c.owned, () => statusChange(c))
}

/** The connection was removed: no more frames, no more readers; what waits is still published. */
export const forget = (c: ManagedConnection): void => {
  c.laneClosed()?.close()
  c.correlator.abort()
  for (const reader of c.readers) reader.end()
  c.readers.clear()
}

/** As `forget`; what waits is dropped once its incarnation has ended. */
export const forgetUnderLife = (core: ManagerContext, c: ManagedConnection): void => {
  const { lane } = c
  forget(c)
  if (lane !== undefined) endWithLife(core, c, lane)
}

/** This incarnation may not act for it any more: the socket is cut, and what waits is dropped, counted. */
export const abandon = (core: ManagerContext, c: ManagedConnection): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (core.connections.get(c.id) === c) core.connections.delete(c.id)
    c.lane?.discard()
    forget(c)
    return core.supervisor.cut(c)
  })

/**
 * Claims what a former incarnation of this instance left, and dials what should be up, as fast as the dial budget
 * allows.
 */
export const claimFormer = (core: ManagerContext): Effect.Effect<void> =>
  core.store.claimOwn.pipe(
    Stream.runForEach((claimed) => take(core, claimed)),
    Effect.catchAllCause((cause) => Effect.logError("claiming the connections of a former life failed", cause))
  )

/** A connection of an owner that has ended is this one's now: told, and dialled if it should be up. */
export const take = (core: ManagerContext, { before, from, owned, reason }: OrphanClaim): Effect.Effect<void> =>
  Effect.gen(function* () {
    // Offered to one that died with it: what was read under the old epoch would hold up the frames of the new one for ever.
    const former = core.connections.get(before.id)
    if (former !== undefined) yield* abandon(core, former)
    const c = adoptStored(core, owned, before, before.last)
    const claimedAt = core.steady()
    c.onceSettled((open) => {
      if (open) core.metrics.takeoverSeconds.observe((core.steady() - claimedAt) / 1000)
    })
    core.metrics.takeovers(reason).add(1)
    core.events.emit("claimed", c, { from, reason })
    failRefused(core, c)
    if (c.status === FAILED && shouldBeUp(before.status) && owned.record().status === FAILED) {
      core.events.emit("failed", c, { closecode: String(c.lastCloseCode), reason: QUARANTINED })
    }
    if (!shouldBeUp(c.status)) {
      return yield* Effect.logInfo(`claimed, and stays ${shortStatus(c.status)}`).pipe(
        Effect.annotateLogs({ connection: c.id })
      )
    }
    const { trial } = owned.record()
    if (trial !== undefined && trial.by === undefined) {
      yield* Effect.logWarning("the instance that tried it last ended: it is dialled apart from the others").pipe(
        Effect.annotateLogs({ connection: c.id })
      )
      return core.probation.later(c)
    }
    yield* core.supervisor.start(c, { failFast: false })
  })

/**
 * The incarnations that owned these have ended (fenced, or the store came back empty): stop acting for all of them now.
 * The next incarnation claims what still names this instance, and what the store forgot is created anew.
 */
export const endFormer = (core: ManagerContext): Effect.Effect<void> =>
  Effect.suspend(() => {
    const lost = [...core.connections.values()].filter((c) => c.owned.life.ended())
    return Effect.forEach(lost, (c) => abandon(core, c), { discard: true, concurrency: "unbounded" })
  })
