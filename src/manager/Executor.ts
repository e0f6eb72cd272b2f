/**
 * The one executor behind every door. It calls the manager, counts and times the call, holds the quota of streams, and
 * keeps a defect's text in the log.
 *
 * A caller that gives up (its deadline, its cancellation, its connection) interrupts the returned effect.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ManagerError, QuotaExceeded } from "../domain/Errors.js"
import type { ErrorOf, Method, StreamMethod, StreamTypes, UnaryMethod, UnaryTypes } from "../domain/Methods.js"
import { Metrics, type MetricsShape } from "../observability/Metrics.js"
import { ConnectionManager } from "./ConnectionManager.js"
import { type Opened, streaming, unary } from "./Operations.js"
import { StreamQuota } from "./StreamQuota.js"

/** Where a call comes in; the label of its metrics. */
export type Door = "rpc-ws" | "rpc-http" | "grpc" | "peer"

export interface Executor {
  readonly call: <K extends UnaryMethod>(
    method: K,
    request: UnaryTypes[K][0]
  ) => Effect.Effect<UnaryTypes[K][1], ErrorOf<K>>
  /** Done when the stream has begun. The call lasts, and holds its place in the quota, until the scope closes. */
  readonly open: <K extends StreamMethod>(
    method: K,
    request: StreamTypes[K][0],
    client: string
  ) => Opened<K, QuotaExceeded>
  /** One call that is made by hand: counted, timed and contained like the others. */
  readonly measured: <A, E extends ManagerError, R>(
    method: Method,
    call: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
}

/** Takes a place in the quota of streams, until the scope closes. */
type Admit = (client: string) => Effect.Effect<void, QuotaExceeded, Scope.Scope>

/** The executor of one door for callers. */
export const make = (door: Door): Effect.Effect<Executor, never, ConnectionManager | Metrics | StreamQuota> =>
  Effect.gen(function* () {
    const { take } = yield* StreamQuota
    return over(door, yield* ConnectionManager, yield* Metrics, take)
  })

/** The same over these operations. */
export const over = (
  door: Door,
  manager: ConnectionManager["Type"],
  { rpcSeconds }: Pick<MetricsShape, "rpcSeconds">,
  admit: Admit
): Executor => {
  const count = (method: Method, started: number, exit: Exit.Exit<unknown, ManagerError>) =>
    Effect.map(Clock.currentTimeMillis, (now) => rpcSeconds(door, method, codeOf(exit)).observe((now - started) / 1000))

  const whose = door === "peer" ? " at its owner; the log of that instance" : "; the log of this instance"
  /** A defect is a bug: its story goes to the log, the caller learns only that there was one. */
  const contained = (method: Method) =>
    Effect.catchAllDefect((defect: unknown) =>
      Effect.zipRight(
        Effect.logError(`${method} failed unexpectedly`, Cause.die(defect)),
        Effect.die(new Error(`${method} failed unexpectedly${whose} says more`))
      )
    )

  const measured: Executor["measured"] = (method, call) =>
    Effect.flatMap(Clock.currentTimeMillis, (started) =>
      call.pipe(
        contained(method),
        Effect.onExit((exit) => count(method, started, exit))
      )
    )

  return {
    measured,
    call: (method, request) =>
      measured(
        method,
        Effect.suspend(() => unary[method](manager, request))
      ),
    open: (method, request, client) =>
      Effect.gen(function* () {
        const started = yield* Clock.currentTimeMillis
        let end: Exit.Exit<unknown, ManagerError> = Exit.interrupt(yield* Effect.fiberId)
        yield* Effect.addFinalizer(() => Effect.suspend(() => count(method, started, end)))
        const stream = yield* admit(client).pipe(
          Effect.zipRight(Effect.suspend(() => streaming[method](manager, request))),
          contained(method),
          Effect.tapErrorCause((cause) => Effect.sync(() => (end = Exit.failCause(cause))))
        )
        return stream.pipe(
          Stream.onDone(() => Effect.sync(() => (end = Exit.void))),
          Stream.tapErrorCause((cause) => Effect.sync(() => (end = Exit.failCause(cause)))),
          Stream.catchAllCause((cause) =>
            Cause.isDie(cause) ? Stream.fromEffect(contained(method)(Effect.failCause(cause))) : Stream.failCause(cause)
          )
        )
      })
  }
}

/** What the `code` label says of an ended call: OK, the error's tag, Cancelled, or Defect. */
export const codeOf = (exit: Exit.Exit<unknown, ManagerError>): string => {
  if (Exit.isSuccess(exit)) return "OK"
  const failure = Cause.failureOption(exit.cause)
  if (Option.isSome(failure)) return failure.value._tag
  return Cause.isInterruptedOnly(exit.cause) ? "Cancelled" : "Defect"
}
