/** What this instance answers its peers: of its membership, of planned moves, and the calls that they pass on. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { InvalidRequest, type ManagerError } from "../../domain/Errors.js"
import { isStreamMethod, isUnaryMethod } from "../../domain/Methods.js"
import { Membership } from "../../membership/Membership.js"
import { Metrics } from "../../observability/Metrics.js"
import { PeerService, type SendProgress } from "../../ports/Peers.js"
import * as Executor from "../Executor.js"
import { LocalManager } from "../LocalManager.js"

/** An operation, seen without its types: the door has decoded the request by its name. */
type Answering<A> = (method: string, request: unknown) => A

const SENT: SendProgress = { _tag: "Sent" }

const unknown = (method: string) => new InvalidRequest({ field: "tag", reason: `there is no method ${method}` })

export const layer: Layer.Layer<PeerService, never, LocalManager | Membership | Metrics> = Layer.effect(
  PeerService,
  Effect.gen(function* () {
    const { connectAgain, handover, operations, send } = yield* LocalManager
    const { ask, hello, incarnation } = yield* Membership
    // none of these forwards: a call is passed on once
    const executor = Executor.over("peer", { ...operations, connect: connectAgain }, yield* Metrics, () => Effect.void)
    const call = executor.call as Answering<Effect.Effect<unknown, ManagerError>>
    const open = executor.open as unknown as Answering<
      Effect.Effect<Stream.Stream<unknown, ManagerError>, ManagerError, Scope.Scope>
    >

    return PeerService.of({
      incarnation,
      hello,
      probeLease: ask,
      offerHandover: handover.take,
      confirmHandover: handover.moved,
      call: (method, request) => (isUnaryMethod(method) ? call(method, request) : unknown(method)),
      send: (request) =>
        Stream.asyncPush<SendProgress, ManagerError>((emit) =>
          executor
            .measured(
              "Send",
              send(request, () => void emit.single(SENT))
            )
            .pipe(
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
      open: (method, request) => (isStreamMethod(method) ? open(method, request) : unknown(method))
    })
  })
)
