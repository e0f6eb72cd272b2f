/**
 * Giving everything away, once, in four stages within one deadline. Offline: the record says so, the instance is not ready
 * and takes no new work. Hooks: those of the embedding program, in order. Hand over: connections go to live instances, or
 * are waited for until they close. Stop: what is left is released, sockets are closed with 1001 or their `leave_code`, what
 * waits is published, records are flushed. Then the lease is laid down, or its time is over, and only then the phase is
 * `left`.
 *
 * Without an instance that can take anything, everything is released at once, for a later instance to claim.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { CONNECTED, RECONNECTING, shouldBeUp } from "../../domain/ConnectionStatus.js"
import type { ErrorOf } from "../../domain/Methods.js"
import type { DrainRequest, DrainResponse } from "../../domain/Messages.js"
import { checkDrain } from "../../domain/validation/Validate.js"
import { dropUnpublished } from "../connection/ConnectionLane.js"
import { statusChange } from "../connection/ConnectionLoop.js"
import { checked, type ManagerContext } from "../connection/ManagerContext.js"
import { forget } from "../connection/Registry.js"
import type { DrainHook, DrainHooks } from "../DrainHooks.js"
import { evacuate, type EvacuationContext } from "./Evacuate.js"
import { type MigrationContext, targets } from "./Migrate.js"
import type { Closing } from "./MigrationSource.js"

/** 1001: going away (RFC 6455, 7.4.1). */
const CLOSING: Closing = { code: 1001, reason: "instance is draining" }
/** What of the deadline is kept for stopping; a quarter of a short one. */
const STOP_WITHIN = 3000
/** Of that, for the records and then the lease, when publishing what waits takes all it may. */
const RECORDS_WITHIN = 1500
/** What flushing and leaving may take, all of it, even when the time for draining is used up. */
const LAST_WORDS = 1000

export interface Drain {
  /** Every call after the first waits for the first. */
  readonly run: (mode: "migrate" | "wait", timeout: Duration.Duration) => Effect.Effect<DrainResponse>
}

export const make = (fleet: MigrationContext, hooks: DrainHooks["Type"]): Effect.Effect<Drain> =>
  Effect.gen(function* () {
    const answer = yield* Deferred.make<DrainResponse>()
    let begun = false
    return {
      run: (mode, timeout) =>
        Effect.suspend(() => {
          if (begun) return Deferred.await(answer)
          begun = true
          return Effect.uninterruptible(
            drain(fleet, hooks, mode, timeout).pipe(Effect.tap((done) => Deferred.succeed(answer, done)))
          )
        })
    }
  })

export const fromRequest = (drain: Drain, request: DrainRequest): Effect.Effect<DrainResponse, ErrorOf<"Drain">> =>
  Effect.gen(function* () {
    const { mode, timeoutMs } = yield* checked(checkDrain(request))
    return yield* drain.run(mode, Duration.millis(timeoutMs))
  })

const drain = (
  fleet: MigrationContext,
  hooks: DrainHooks["Type"],
  mode: "migrate" | "wait",
  timeout: Duration.Duration
) =>
  Effect.gen(function* () {
    const { core, membership } = fleet
    const began = core.steady()
    const deadline = began + Duration.toMillis(timeout)
    const left = Effect.sync(() => Duration.millis(Math.max(deadline - core.steady(), LAST_WORDS)))
    const before = upCount(core)
    const progress: EvacuationContext = { moved: 0, failed: 0 }
    core.phase.set("draining")
    const { incarnation } = core.lease.life()
    const me = { instance: core.instanceId, address: core.address, incarnation }
    core.events.emit("instance-draining", undefined, me)
    yield* Effect.logInfo(`draining ${core.connections.size} connections`)
    yield* membership.drain.pipe(Effect.interruptible, Effect.timeoutOption(yield* left))
    const forHooks = Effect.sync(() => Duration.millis(Math.max((began + deadline) / 2 - core.steady(), 0)))
    for (const hook of hooks.all()) yield* runHook(hook, forHooks)
    // what was being claimed when this began is to be given away too
    yield* core.claims.drained.await.pipe(Effect.interruptible, Effect.timeoutOption(yield* left))
    const until = deadline - Math.min(STOP_WITHIN, Duration.toMillis(timeout) / 4)
    if (mode === "wait")
      yield* telling(
        core,
        progress,
        waitWhile(core, until, () => upCount(core) > 0)
      )
    else if (targets(fleet).length > 0) yield* telling(core, progress, evacuate(fleet, CLOSING, until, progress))
    else if (core.connections.size > 0) yield* Effect.logInfo("there is no live instance to take the connections")

    // what is being removed by its caller is not to come back
    yield* waitWhile(core, until, () => core.removing.size > 0)
    const closed = Math.max(before - upCount(core) - progress.moved, 0)
    core.claims.closed = true
    const rest = [...core.connections.values()]
    yield* Effect.forEach(
      rest,
      (c) =>
        Effect.gen(function* () {
          const change = statusChange(c)
          const status = change.status === CONNECTED ? RECONNECTING : change.status
          yield* core.supervisor.stop(c, c.spec.reconnect.leaveCode ?? CLOSING.code, CLOSING.reason)
          c.lane?.close()
          core.store.note(c.owned, () => ({ ...change, status, last: c.lane?.lastPublished() ?? change.last }))
        }),
      // all at once: peers that do not answer their close frame cost a second each
      { concurrency: "unbounded", discard: true }
    )
    core.events.emit("instance-left", undefined, me)
    // What waits, the records, the lease: each leaves the next one its time, and the last one is over in time.
    const end = Math.max(deadline, core.steady() + LAST_WORDS)
    const forRecords = Math.min(RECORDS_WITHIN, (end - core.steady()) / 2)
    const beforeEnd = (keeping: number) => Duration.millis(Math.max(end - keeping - core.steady(), 0))
    const unpublished = yield* core.publisher.flush(beforeEnd(forRecords))
    if (unpublished > 0) yield* Effect.logError(`${unpublished} frames could not be published in time and are lost`)
    for (const c of rest) dropUnpublished(core, c)
    yield* core.store.flush.pipe(Effect.interruptible, Effect.timeoutOption(beforeEnd(forRecords / 3)))
    for (const c of rest) {
      forget(c)
      core.store.release(c.owned)
      core.connections.delete(c.id)
    }
    yield* membership.leave.pipe(Effect.interruptible, Effect.timeoutOption(beforeEnd(0)))
    core.phase.set("left")
    const seconds = ((core.steady() - began) / 1000).toFixed(1)
    yield* Effect.logInfo(
      `drained in ${seconds} s: ${progress.moved} migrated, ${closed} closed, ${rest.length} released for others to take`
    )
    return { migrated: progress.moved, closed, abandoned: rest.length }
  })

const runHook = ({ name, run }: DrainHook, left: Effect.Effect<Duration.Duration>) =>
  Effect.gen(function* () {
    const done = yield* Effect.exit(Effect.timeoutOption(Effect.interruptible(run), yield* left))
    if (Exit.isFailure(done)) yield* Effect.logError(`drain hook "${name}" failed`, done.cause)
    else if (Option.isNone(done.value)) yield* Effect.logError(`drain hook "${name}" did not end in time`)
  })

/** One line a second, as long as it lasts. */
const telling = (
  core: ManagerContext,
  progress: EvacuationContext,
  stage: Effect.Effect<void>
): Effect.Effect<void> => {
  const line = Effect.suspend(() => {
    const { failed, moved } = progress
    const again = failed === 0 ? "" : `, ${failed} to be tried again`
    return Effect.logInfo(`draining: ${moved} migrated, ${core.connections.size} still here${again}`)
  })
  const lines = Effect.forever(Effect.zipRight(Effect.sleep("1 second"), line))
  return Effect.raceFirst(stage, Effect.interruptible(lines))
}

/** At most until then, steady milliseconds. */
const waitWhile = (core: ManagerContext, until: number, waits: () => boolean): Effect.Effect<void> =>
  Effect.repeat(Effect.sleep("50 millis"), { while: () => waits() && core.steady() < until }).pipe(
    Effect.when(waits),
    Effect.asVoid
  )

const upCount = (core: ManagerContext): number => {
  let up = 0
  for (const c of core.connections.values()) if (shouldBeUp(c.status)) up++
  return up
}
