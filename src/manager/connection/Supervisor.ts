/**
 * Keeps one receive loop per connection running, never two, and ends it in the right order.
 *
 * Closed by its scope: every loop is interrupted, every socket that is still open is cut.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { OneShot } from "../../common/OneShot.js"
import * as ConnectionLoop from "./ConnectionLoop.js"
import type { FirstDial, StartFailure } from "./ConnectionState.js"
import type { ManagedConnection } from "./ManagedConnection.js"

export interface Supervisor {
  /** Starts dialling; `opening` of the connection waits for the first dial of this start. */
  readonly start: (c: ManagedConnection, options: { readonly failFast: boolean }) => Effect.Effect<void>
  /**
   * Closes an open socket with 1000 or the connection's `leave_code`, sets the attempts to 0, dials at once; waits until
   * open or the dial failed. Callers that ask for it while such a dial is under way share that one: no caller cuts what
   * another has just begun.
   */
  readonly restart: (c: ManagedConnection, reason?: string) => Effect.Effect<void, StartFailure>
  /** Closes the socket with this code, and dials no more until it is started again. */
  readonly pause: (c: ManagedConnection, code: number, reason: string) => Effect.Effect<void>
  /** Closes the socket with this code, then ends the loop for good: nothing dials for this connection any more. */
  readonly stop: (c: ManagedConnection, code: number, reason: string) => Effect.Effect<void>
  /** Cuts the socket and ends the loop for good, now: this instance may not act for it any more. */
  readonly cut: (c: ManagedConnection) => Effect.Effect<void>
}

/** A loop needs no service but a scope of its own, and with each scope would keep a copy of all that its caller has. */
const noServices: (callers: Context.Context<never>) => Context.Context<never> = Context.empty

/** The longest a closing handshake is waited for; the socket itself is cut after a second. */
const CLOSE_WAIT = "1500 millis"

export const make = (services: ConnectionLoop.LoopContext): Effect.Effect<Supervisor, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const loops = yield* FiberMap.make<string, void>()

    const dial = (c: ManagedConnection, failFast: boolean) =>
      Effect.gen(function* () {
        if (c.isGone()) return c.startRefused()
        const first: FirstDial = new OneShot()
        c.started(first, failFast)
        // Around the start and not around the loop: the fiber inherits it, and has no frame for it on its stack for ever.
        yield* FiberMap.run(loops, c.id, guarded(ConnectionLoop.run(c, services, { first }))).pipe(
          Effect.mapInputContext(noServices),
          Effect.annotateLogs({ connection: c.id, epoch: c.epoch })
        )
      })

    /** Told to stop before its socket is closed, the loop does not take our own close for a loss and dial again. */
    const halt = (c: ManagedConnection, code: number, reason: string) =>
      Effect.gen(function* () {
        c.halted()
        // by now, and no other: a later incarnation may dial for the same id while this socket is still closing
        const loop = FiberMap.unsafeGet(loops, c.id)
        const { session } = c
        if (session !== undefined) {
          session.close(code, reason)
          // In a fiber of the supervisor's own. Here an interruption of the caller would reach what the time-out may
          // interrupt, and leave a connection that is neither dialled nor removed. The end of the supervisor ends the wait.
          const waited = yield* session.ended.pipe(
            Effect.timeout(CLOSE_WAIT),
            Effect.interruptible,
            Effect.forkIn(scope),
            Effect.flatMap(Fiber.await)
          )
          c.closedWith(Exit.isSuccess(waited) ? waited.value.closeCode : 1006)
        }
        if (Option.isSome(loop)) yield* Fiber.interrupt(loop.value)
      })

    const inTurn = (c: ManagedConnection, effect: Effect.Effect<void>) => Effect.uninterruptible(c.dialling.run(effect))

    return {
      start: (c, { failFast }) => inTurn(c, dial(c, failFast)),
      restart: (c, reason = "reconnect requested") =>
        Effect.gen(function* () {
          const again = Effect.gen(function* () {
            if (isDialled(c)) return
            yield* halt(c, c.spec.reconnect.leaveCode ?? 1000, reason)
            c.restarted()
            yield* dial(c, false)
          })
          yield* inTurn(c, again)
          yield* c.opening
        }),
      pause: (c, code, reason) => inTurn(c, halt(c, code, reason)),
      stop: (c, code, reason) => {
        c.removing()
        return inTurn(c, halt(c, code, reason))
      },
      cut: (c) => {
        c.removed()
        c.session?.terminate()
        return FiberMap.remove(loops, c.id)
      }
    }
  })

/** Its first dial is under way, and it is kept whatever becomes of that. */
const isDialled = (c: ManagedConnection): boolean =>
  c.firstDial?.isDone === false && !c.failFast && c.phase === "active"

/** A defect in one loop is that connection's alone, and visible: it is logged and the loop starts again. */
const guarded = (loop: Effect.Effect<void>): Effect.Effect<void> =>
  loop.pipe(
    Effect.catchAllDefect((defect) =>
      Effect.logError("the connection's loop failed and starts again", defect).pipe(
        Effect.zipRight(Effect.sleep("1 second")),
        Effect.zipRight(Effect.suspend(() => guarded(loop)))
      )
    )
  )
