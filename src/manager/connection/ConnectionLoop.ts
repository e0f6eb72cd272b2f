/**
 * The life of one connection: dial, be open, lose it, wait, dial again. One fiber per connection, the only one that opens
 * sockets for it, so that there is never a second socket.
 *
 * After a session or a failed dial the table of `domain/CloseReason.ts` decides. What should be up is open, being dialled,
 * waiting for its next dial, or visibly failed. Not asked of the table: what this instance cut itself, which is dialled
 * again; what is quarantined, or was to fail fast, which is given up; what does not reconnect, which stops; and what is
 * halted or moved.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { interruptWith } from "../../common/InterruptWith.js"
import { decideDial } from "../../domain/CloseReason.js"
import { gapAttributes, type Position } from "../../domain/ConnectionEvent.js"
import { ConnectionNotOpen, DialFailed, type TargetForbidden } from "../../domain/Errors.js"
import type { Lease } from "../../membership/lease/Lease.js"
import type { MetricsShape } from "../../observability/Metrics.js"
import type { ConnectionStore } from "../../ownership/ConnectionStore.js"
import * as ReconnectPolicy from "../../socket/dial/ReconnectPolicy.js"
import type { DialCause, Session, Sessions } from "../../socket/wire/Session.js"
import type { Events } from "../Events.js"
import { type LeaseLossRule, mayHold } from "./LeasePolicy.js"
import { isQuarantined, LEASE_LOST, type Lost, quarantined, sessionEnded, tooExpensive, whereThrown } from "./Lost.js"
import type { FirstDial } from "./ConnectionState.js"
import type { ManagedConnection } from "./ManagedConnection.js"

export interface LoopContext {
  readonly sessions: Sessions["Type"]
  readonly events: Events["Type"]
  readonly store: ConnectionStore["Type"]
  readonly lease: Lease["Type"]
  readonly metrics: MetricsShape
  readonly onLeaseLoss: LeaseLossRule
}

export interface LoopOptions {
  readonly first: FirstDial
}

/**
 * The dial or the session of this moment. By hand and not by nested scopes: each would stand on the stack of a connection at
 * rest.
 */
interface Held {
  /** closing it cuts the socket */
  scope: Scope.CloseableScope | undefined
}

/** Runs until the connection is finished or the fiber is interrupted; the waiters for the first dial are always told. */
export const run = (c: ManagedConnection, services: LoopContext, options: LoopOptions): Effect.Effect<void> => {
  const held: Held = { scope: undefined }
  return Effect.ensuring(
    reconnecting(c, services, options, held),
    Effect.zipRight(
      letGo(c, held),
      Effect.sync(() => options.first.done(Exit.fail(new ConnectionNotOpen({ id: c.id, status: c.status }))))
    )
  )
}

const letGo = (c: ManagedConnection, held: Held): Effect.Effect<void> =>
  Effect.suspend(() => {
    c.sessionEnded()
    const { scope } = held
    held.scope = undefined
    return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
  })

const reconnecting = (
  c: ManagedConnection,
  services: LoopContext,
  options: LoopOptions,
  held: Held
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { events, metrics, store } = services
    const announce = (lost: Lost, delay: Duration.Duration) =>
      Effect.sync(() => {
        metrics.reconnects(lost.metric).add(1)
        c.change("lost")
        events.emit("reconnecting", c, {
          closecode: String(lost.closeCode),
          reason: lost.reason,
          delayms: String(Math.round(Duration.toMillis(delay))),
          attempt: String(c.attempts)
        })
        store.note(c.owned, () => statusChange(c))
      })
    let lost: Lost | undefined
    const makeDriver = () =>
      Schedule.driver(
        ReconnectPolicy.schedule(c.spec.reconnect).pipe(
          Schedule.modifyDelayEffect((attempt, delay) => {
            c.attempted(attempt)
            return Effect.as(announce(lost!, delay), delay)
          })
        )
      )
    /** Made at the first loss: most connections have none, and it is the largest part of a loop at rest. */
    let driver: Effect.Effect.Success<ReturnType<typeof makeDriver>> | undefined
    for (;;) {
      held.scope = yield* Scope.make()
      const dialled = yield* dial(c, services, options, held.scope)
      if (dialled === "ended") return
      if ("session" in dialled) {
        // Most of its life a connection is here: nothing else is on the stack.
        const end = yield* dialled.session.ended
        yield* letGo(c, held)
        if (c.isHalted()) return
        // the target's is dialled: until it is open, or it is taken back, there is none
        if (c.isOverlapping()) return c.change("lost")
        c.closedWith(end.closeCode)
        const up = Number((yield* Clock.currentTimeNanos) - dialled.at) / 1e6
        lost = sessionEnded(c, events, end, up >= c.spec.reconnect.stableAfterMs)
      } else {
        yield* letGo(c, held)
        lost = dialled
      }
      if (lost.stable) {
        c.attempted(0)
        driver = undefined
      }
      if (lost.decision === "stop") return yield* finish(c, services, "disconnected", lost)
      if (lost.decision === "give-up") return yield* finish(c, services, "failed", lost)
      driver ??= yield* makeDriver()
      const next = yield* Effect.exit(driver.next({ decision: lost.decision, retryAfterMs: lost.retryAfterMs }))
      if (Exit.isFailure(next)) {
        if (Exit.isInterrupted(next)) return yield* Effect.interrupt
        return yield* finish(c, services, "failed", { ...lost, reason: `attempts used up: ${lost.reason}` })
      }
    }
  })

/** What is written behind of a connection's state. */
export const statusChange = (c: ManagedConnection) => ({
  status: c.status,
  connectedAt: c.connectedAt === 0 ? undefined : c.connectedAt,
  lastFrameAt: c.lastFrameAt === 0 ? undefined : c.lastFrameAt,
  lastError: c.lastError,
  lastCloseCode: c.lastCloseCode,
  last: c.lane?.lastPublished() ?? c.position()
})

interface Opened {
  readonly session: Session
  /** nanoseconds of the monotonic clock */
  readonly at: bigint
}

/** One dial and its login. `ended`: the loop is over, and its waiters were told. */
const dial = (
  c: ManagedConnection,
  services: LoopContext,
  options: LoopOptions,
  scope: Scope.Scope
): Effect.Effect<Opened | Lost | "ended"> =>
  Effect.gen(function* () {
    const { events, lease, sessions, store } = services
    const { life } = c.owned
    while (!life.valid()) {
      if (life.ended()) return "ended" as const
      yield* Effect.raceFirst(life.awaitEnd, lease.awaitHeld)
    }
    c.dialBegins()
    const attempt = String(c.attempts + 1)
    const before: Position = c.everOpen || c.inherited === undefined ? c.position() : c.inherited
    const firstSequence = c.sequence + 1
    events.emit("connecting", c, { attempt })
    const opened = yield* Effect.either(
      sessions
        .open({
          connectionId: c.id,
          instanceId: c.instanceId,
          epoch: c.epoch,
          spec: c.spec,
          onFrame: c.receive,
          onTooExpensive: (ms) => tooExpensive(c, events, ms),
          budget: c.budget,
          mayDial: life.valid,
          mayAct: mayHold(c, services.onLeaseLoss)
        })
        .pipe(interruptWith(leaseLost(lease, life.valid)), Scope.extend(scope))
    )
    if (opened._tag === "Left") return yield* dialFailed(c, services, options, opened.left)

    const session = opened.right
    // Lost in this very moment: this socket was not cut with the others, since it was not known yet.
    if (!life.valid()) return yield* dialFailed(c, services, options, LEASE_LOST)
    const openedAt = yield* Clock.currentTimeMillis
    const opening = yield* Clock.currentTimeNanos
    const cause = c.everOpen ? "reconnect" : c.inherited === undefined ? undefined : "takeover"
    c.opened(session, openedAt)
    events.emit("connected", c, { attempt, subprotocol: session.subprotocol })
    if (cause !== undefined) {
      services.metrics.gaps(cause).add(1)
      const first: Position = { epoch: c.epoch, sequence: firstSequence, at: openedAt }
      events.emit("gap", c, gapAttributes(cause, before, first, "unknown"))
    }
    store.note(c.owned, () => statusChange(c))
    c.openTold(options.first.done(Exit.void))

    return { session, at: opening }
  })

/**
 * Ends a dial whose lease is lost while it is under way. Its socket is not yet among the open ones, which the lease's
 * listener cuts.
 */
const leaseLost = (lease: Lease["Type"], valid: () => boolean) => (cut: (failure: DialCause) => void) =>
  lease.onChange(() => {
    if (!valid()) cut(LEASE_LOST)
  })

const dialFailed = (
  c: ManagedConnection,
  services: LoopContext,
  options: LoopOptions,
  failure: DialCause | TargetForbidden
) =>
  Effect.gen(function* () {
    const error =
      failure._tag === "TargetForbidden"
        ? failure
        : new DialFailed({ kind: failure.kind, httpStatus: failure.httpStatus, reason: failure.reason })
    const expensive = isQuarantined(c)
    if (!expensive) {
      const tag = failure._tag === "DialFailure" && failure.defect !== undefined ? "Fault" : error._tag
      c.failedWith(`${tag}: ${error.message}`)
      services.events.emit("error", c, { error: tag, message: error.message }, whereThrown(failure))
    }
    const told = options.first.done(Exit.fail(error))
    const closeCode = failure._tag === "DialFailure" ? (failure.closeCode ?? 1006) : 1006
    if (failure._tag === "DialFailure" && failure.closeCode !== undefined) c.closedWith(failure.closeCode)
    const lost: Lost = expensive
      ? quarantined(c, closeCode)
      : {
          decision: c.spec.autoReconnect || !c.everOpen ? decideDial(failure, c.spec.reconnect) : "stop",
          retryAfterMs: failure._tag === "DialFailure" ? failure.retryAfterMs : undefined,
          closeCode,
          reason: error.message,
          metric: "dial",
          stable: false
        }
    if (told && c.failFast) {
      yield* finish(c, services, "failed", lost)
      return "ended" as const
    }
    return lost
  })

/** No further dial: DISCONNECTED or FAILED, until a caller asks for Reconnect or Disconnect. */
const finish = (c: ManagedConnection, services: LoopContext, name: "disconnected" | "failed", lost: Lost) =>
  Effect.sync(() => {
    c.change(name === "failed" ? "gave-up" : "closed")
    services.events.emit(name, c, { closecode: String(lost.closeCode), reason: lost.reason })
    services.store.note(c.owned, () => statusChange(c))
  })
