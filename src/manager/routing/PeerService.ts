/** What this instance answers its peers: of its membership, of planned moves, and the calls that they pass on. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { InvalidRequest, type ManagerError } from "../../domain/Errors.js"
import { isStreamMethod, isUnaryMethod, type StreamMethod, type UnaryMethod } from "../../domain/Methods.js"
import type { ConnectRequest } from "../../domain/Spec.js"
import { Membership } from "../../membership/Membership.js"
import { Metrics } from "../../observability/Metrics.js"
import { PeerService, type SendProgress } from "../../ports/Peers.js"
import type { ConnectionManager } from "../ConnectionManager.js"
import { codeOf } from "../Executor.js"
import { LocalManager } from "../LocalManager.js"
import { type Opened, streaming, unary } from "../Operations.js"

/** An operation, seen without its types: the door has decoded the request by its name. */
type Answering<A> = (operations: ConnectionManager["Type"], request: unknown) => A

const SENT: SendProgress = { _tag: "Sent" }

const unknown = (method: string) => new InvalidRequest({ field: "tag", reason: `there is no method ${method}` })

export const layer: Layer.Layer<PeerService, never, LocalManager | Membership | Metrics> = Layer.effect(
  PeerService,
  Effect.gen(function* () {
    const { connectAgain, handover, operations, send } = yield* LocalManager
    const { ask, hello, incarnation } = yield* Membership
    const { rpcSeconds } = yield* Metrics
    // none of these forwards: a call is passed on once
    const call = (method: UnaryMethod, request: unknown): Effect.Effect<unknown, ManagerError> =>
      method === "Connect"
        ? connectAgain(request as ConnectRequest)
        : (unary[method] as Answering<Effect.Effect<unknown, ManagerError>>)(operations, request)
    const open = (method: StreamMethod, request: unknown): Opened<unknown> =>
      (streaming[method] as Answering<Opened<unknown>>)(operations, request)

    const counted =
      (method: string) =>
      <A, R>(call: Effect.Effect<A, ManagerError, R>) =>
        Effect.flatMap(Clock.currentTimeMillis, (started) =>
          Effect.onExit(call, (exit: Exit.Exit<unknown, ManagerError>) =>
            Effect.map(Clock.currentTimeMillis, (now) =>
              rpcSeconds("peer", method, codeOf(exit)).observe((now - started) / 1000)
            )
          )
        )

    return PeerService.of({
      incarnation,
      hello,
      probeLease: ask,
      offerHandover: handover.take,
      confirmHandover: handover.moved,
      call: (method, request) =>
        isUnaryMethod(method) ? counted(method)(Effect.suspend(() => call(method, request))) : unknown(method),
      send: (request) =>
        Stream.asyncPush<SendProgress, ManagerError>((emit) =>
          counted("Send")(send(request, () => void emit.single(SENT))).pipe(
            Effect.matchCauseEffect({
              onFailure: (cause) => Effect.sync(() => emit.halt(cause)),
              onSuccess: (response) =>
                Effect.sync(() => {
                  emit.single({ _tag: "Replied", response })
                  emit.end()
                })
            }),
            Effect.forkScoped
          )
        ),
      open: (method, request) =>
        isStreamMethod(method) ? Effect.suspend(() => open(method, request)) : unknown(method)
    })
  })
)
