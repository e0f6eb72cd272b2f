/** `POST /rpc`: the RPC group for unary calls, MessagePack in and out. */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { QuotaExceeded } from "../../domain/Errors.js"
import type { ConnectionManager } from "../../manager/ConnectionManager.js"
import { clientOf, StreamQuota } from "../../manager/StreamQuota.js"
import type { Metrics } from "../../observability/Metrics.js"
import { bodies, MAX_BODY_BYTES } from "../../rpc/Serialization.js"
import * as HttpRpc from "../rpc/HttpRpc.js"
import * as Body from "./Body.js"
import * as Problem from "./Problem.js"
import * as Respond from "./Problem.js"

const tooLarge = Problem.fromStatus(413, "Content Too Large", `a body has at most ${MAX_BODY_BYTES} bytes`)

const noRoom = Problem.fromError(new QuotaExceeded({ quota: "requests" }))

/** The rest of its body is not read. */
const closing = (problem: Problem.Problem) =>
  HttpServerResponse.setHeader(Respond.problem(problem), "connection", "close")

export const layer: Layer.Layer<never, never, HttpLayerRouter.HttpRouter | ConnectionManager | Metrics | StreamQuota> =
  HttpLayerRouter.use((router) =>
    Effect.gen(function* () {
      const calls = yield* HttpRpc.make
      const quota = yield* StreamQuota
      yield* router.add("POST", "/rpc", (request) => {
        const incoming = NodeHttpServerRequest.toIncomingMessage(request)
        const held = quota.hold(clientOf(incoming.socket.remoteAddress, incoming.socket.remotePort))
        return Body.read(incoming, MAX_BODY_BYTES, held.take).pipe(
          Effect.flatMap(calls),
          Effect.map((answer) => HttpServerResponse.uint8Array(answer, { contentType: bodies.contentType })),
          Effect.catchTags({
            InvalidRequest: (error) => Effect.succeed(Respond.problem(Problem.fromError(error))),
            BodyTooLarge: () => Effect.succeed(closing(tooLarge)),
            NoRoom: () => Effect.succeed(closing(noRoom)),
            BodyCut: () => Effect.succeed(Respond.empty(400))
          }),
          Effect.ensuring(Effect.sync(held.release)),
          // a caller that goes away interrupts its calls
          Effect.interruptible
        )
      })
      yield* router.add("GET", "/rpc/ws", Respond.line(426, "the RPC door is a WebSocket: send an upgrade"))
    })
  )
