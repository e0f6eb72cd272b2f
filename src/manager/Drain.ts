/**
 * Giving everything away, once: offline (not ready, no new work), then wait for connections to close where asked, then
 * stop: sockets closed with 1001, what waits published, records flushed, the lease laid down, and only then `left`.
 *
 * Alone there is nobody to migrate to: everything is released at once, for the next life to claim.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { CONNECTED, RECONNECTING, shouldBeUp } from "../domain/ConnectionStatus.js"
import { gapAttributes } from "../domain/ConnectionEvent.js"
import type { ManagerError } from "../domain/Errors.js"
import type { DrainRequest, DrainResponse } from "../domain/Messages.js"
import { checkDrain } from "../domain/Validate.js"
import type { Membership } from "../membership/Membership.js"
import { forget } from "./Adoption.js"
import { checked, type Core } from "./Core.js"
import type { ManagedConnection } from "./ManagedConnection.js"
import { statusChange } from "./ReceiveLoop.js"

/** Close codes of a going-away peer (RFC 6455, 7.4.1). */
const GOING_AWAY = 1001
/** What flushing and leaving may take even when the time for draining is used up. */
const LAST_WORDS = 1000

export interface Drain {
  /** Every call after the first waits for the first. */
  readonly run: (mode: "migrate" | "wait", timeout: Duration.Duration) => Effect.Effect<DrainResponse>
}

export const make = (core: Core, membership: Membership["Type"]): Effect.Effect<Drain> =>
  Effect.gen(function* () {
    const answer = yield* Deferred.make<DrainResponse>()
    let begun = false
    return {
      run: (mode, timeout) =>
        Effect.suspend(() => {
          if (begun) return Deferred.await(answer)
          begun = true
          return Effect.uninterruptible(
            drain(core, membership, mode, timeout).pipe(Effect.tap((done) => Deferred.succeed(answer, done)))
          )
        })
    }
  })

export const fromRequest = (drain: Drain, request: DrainRequest): Effect.Effect<DrainResponse, ManagerError> =>
  Effect.gen(function* () {
    const { mode, timeoutMs } = yield* checked(checkDrain(request))
    return yield* drain.run(mode, Duration.millis(timeoutMs))
  })

const drain = (core: Core, membership: Membership["Type"], mode: "migrate" | "wait", timeout: Duration.Duration) =>
  Effect.gen(function* () {
    const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(timeout)
    const left = Effect.map(Clock.currentTimeMillis, (now) => Duration.millis(Math.max(deadline - now, LAST_WORDS)))
    const before = upCount(core)
    core.phase.set("draining")
    const { incarnation } = core.lease.life()
    const me = { address: core.address, incarnation }
    core.events.emit("instance-draining", undefined, me)
    yield* Effect.logInfo(`draining ${before} connections`)
    yield* membership.drain.pipe(Effect.interruptible, Effect.timeoutOption(yield* left))
    if (mode === "wait") yield* allClosed(core, deadline)

    const closed = Math.max(before - upCount(core), 0)
    const rest = [...core.connections.values()]
    yield* Effect.forEach(
      rest,
      (c) =>
        Effect.gen(function* () {
          const change = statusChange(c)
          const status = change.status === CONNECTED ? RECONNECTING : change.status
          yield* core.supervisor.stop(c, GOING_AWAY, "instance is draining")
          c.lane?.close()
          core.store.note(c.owned, () => ({ ...change, status, last: c.lane?.lastPublished() ?? change.last }))
        }),
      // all at once: peers that do not answer their close frame cost a second each
      { concurrency: "unbounded", discard: true }
    )
    core.events.emit("instance-left", undefined, me)
    const unpublished = yield* core.publisher.flush(yield* left)
    if (unpublished > 0) yield* Effect.logError(`${unpublished} frames could not be published in time and are lost`)
    for (const c of rest) tellLost(core, c)
    yield* core.store.flush.pipe(Effect.interruptible, Effect.timeoutOption(yield* left))
    for (const c of rest) {
      forget(c)
      core.store.release(c.owned)
      core.connections.delete(c.id)
    }
    yield* membership.leave.pipe(Effect.interruptible, Effect.timeoutOption(yield* left))
    core.phase.set("left")
    yield* Effect.logInfo(`drained: ${closed} closed, ${rest.length} released`)
    return { migrated: 0, closed, abandoned: rest.length }
  })

/** What the broker did not take in time is counted, and told as a gap to whoever still listens. */
const tellLost = (core: Core, c: ManagedConnection): void => {
  const last = c.lane?.lastPublished()
  const lost = c.lane?.discard() ?? 0
  if (last === undefined || lost === 0) return
  core.metrics.gaps("publish").add(1)
  const first = { epoch: c.epoch, sequence: c.sequence + 1, at: 0 }
  core.events.emit("gap", c, gapAttributes("publish", last, first, lost))
}

/** Until the last connection was closed by its caller or its peer, or the time is up. */
const allClosed = (core: Core, deadline: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (upCount(core) > 0 && (yield* Clock.currentTimeMillis) < deadline) {
      yield* Effect.sleep("50 millis")
    }
  })

const upCount = (core: Core): number => {
  let up = 0
  for (const c of core.connections.values()) if (shouldBeUp(c.status)) up++
  return up
}
