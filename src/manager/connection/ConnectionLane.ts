/** The lane between a connection and its topic. */
import * as Effect from "effect/Effect"
import { gapAttributes, type GapCause, type Position } from "../../domain/ConnectionEvent.js"
import { refuseTopic } from "../../domain/validation/TopicPolicy.js"
import type { Lane } from "../../messaging/publish/Lane.js"
import { mayPublish } from "./LeasePolicy.js"
import type { ManagedConnection } from "./ManagedConnection.js"
import type { ManagerContext } from "./ManagerContext.js"

/**
 * Opens the lane to the connection's topic; frames that come from now on are published. No topic, no lane. `start` is the last
 * frame known published: what was dropped since must not pass for that in the record.
 */
export const openLane = (core: ManagerContext, c: ManagedConnection, start: Position = c.position()): void => {
  // Removed while a call waited for the store: this lane would never be closed.
  if (c.topic === "" || c.isGone()) return
  const refused = refuseTopic(c.topic, core.settings)
  if (refused !== undefined) {
    // Of a record that was made elsewhere, or under other settings: the socket stays, and its last error says why it is mute.
    c.failedWith(refused)
    core.events.emit("error", c, { error: "PermissionDenied", message: refused })
    return
  }
  c.restamp()
  /** A lane that was closed still drains, and must not hold up the socket of its successor. */
  const reading = (paused: boolean) => () => {
    if (c.lane !== lane) return
    if (paused) c.pauseReading()
    else c.resumeReading()
  }
  const underLease = mayPublish(c, core.settings.onLeaseLoss)
  const lane: Lane = core.publisher.lane({
    connectionId: c.id,
    topic: c.topic,
    buffer: c.spec.buffer,
    publishing: c.spec.publishing,
    mayPublish: () => !c.isHeld() && underLease(),
    onPause: reading(true),
    onResume: reading(false),
    onGap: (cause, last, first, lost) => gap(core, c, cause, last, first, lost),
    counters: c.counters,
    start
  })
  c.laneOpened(lane)
}

/**
 * What waits in a lane that was closed is published as long as its incarnation may do so, and dropped, counted, once
 * that has ended.
 */
export const endWithLife = (core: ManagerContext, c: ManagedConnection, lane: Lane): void => {
  if (lane.pendingFrames() === 0) return
  const { life } = c.owned
  const end = Effect.zipRight(
    life.awaitEnd,
    Effect.sync(() => lane.discard())
  )
  core.fork(Effect.raceFirst(lane.drained, Effect.asVoid(end)))
}

/** No further frame goes to the topic; what waits is still published. */
export const closeLane = (core: ManagerContext, c: ManagedConnection): void => {
  const lane = c.laneClosed()
  lane?.close()
  if (lane !== undefined) endWithLife(core, c, lane)
  if (c.paused) c.resumeReading()
}

/**
 * The lease was lost: another instance may own the connection by now, so nothing that was read before is published any more. It
 * is counted and told; what comes after the lease is held again goes through a lane of its own.
 */
export const dropWaiting = (core: ManagerContext, c: ManagedConnection): void => {
  const { lane } = c
  if (lane === undefined) return
  const last = lane.lastPublished()
  const lost = lane.discard()
  c.laneClosed()
  c.pauseForgotten()
  openLane(core, c, last)
  if (lost > 0) gap(core, c, "publish", last, { epoch: c.epoch, sequence: c.sequence + 1, at: 0 }, lost)
}

/** What the broker did not take in time is dropped, counted, and told as a gap to those that still listen. */
export const dropUnpublished = (core: ManagerContext, c: ManagedConnection): void => {
  const last = c.lane?.lastPublished()
  const lost = c.lane?.discard() ?? 0
  if (last === undefined || lost === 0) return
  gap(core, c, "publish", last, { epoch: c.epoch, sequence: c.sequence + 1, at: 0 }, lost)
}

export const gap = (
  core: ManagerContext,
  c: ManagedConnection,
  cause: GapCause,
  last: Position,
  first: Position,
  lost: number | "unknown"
) => {
  core.metrics.gaps(cause).add(1)
  core.events.emit("gap", c, gapAttributes(cause, last, first, lost))
}
