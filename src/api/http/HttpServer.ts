/**
 * What is served on the HTTP port: health, metrics, the RPC group over HTTP and over a WebSocket, each behind the guard.
 *
 * Started last, when the manager can be called; stopped before everything but the listener, which goes on to answer 503.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { IncomingMessage } from "node:http"
import { Settings } from "../../config/Settings.js"
import type { ConnectionManager } from "../../manager/ConnectionManager.js"
import type { Health } from "../../manager/Health.js"
import type { StreamQuota } from "../../manager/StreamQuota.js"
import { Metrics } from "../../observability/Metrics.js"
import { Refusals } from "../rpc/Refusals.js"
import { RpcDoor } from "../rpc/RpcDoor.js"
import * as Guard from "./Guard.js"
import * as HealthRoutes from "./HealthRoutes.js"
import { HttpListener, refuse, refuseUpgrade, webSocketServer } from "./HttpListener.js"
import * as Problem from "./Problem.js"
import * as Respond from "./Problem.js"
import * as RpcRoutes from "./RpcRoutes.js"

const WS_PATH = "/rpc/ws"
const WHAT_EXISTS = "there is /rpc/ws, POST /rpc, /alive, /health, /health/live, /health/ready and /metrics"

const routes = Layer.merge(HealthRoutes.layer, RpcRoutes.layer)

export interface ServerOptions {
  /** The advertised address, a URL: its host names this instance. */
  readonly advertised: string
}

type Needs = HttpListener | Settings | RpcDoor | ConnectionManager | Health | Metrics | Refusals | StreamQuota

export const layer = ({ advertised }: ServerOptions): Layer.Layer<never, never, Needs> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const listener = yield* HttpListener
      const { apiToken } = yield* Settings
      const door = yield* RpcDoor
      const judge = Guard.make({ token: apiToken, advertised })
      const { countBy, refused } = yield* Refusals
      countBy((yield* Metrics).refused)
      const guard = (request: IncomingMessage) => {
        const refusal = judge(request)
        if (refusal !== undefined) refused("http", refusal.reason, request.socket.remoteAddress)
        return refusal
      }

      const router = yield* HttpLayerRouter.toHttpEffect(routes)
      const handle = yield* NodeHttpServer.makeHandler(
        Effect.catchTag(router, "RouteNotFound", ({ request }) =>
          Effect.succeed(
            Respond.line(404, `there is no ${request.method} ${Guard.pathOf(request.url)}: ${WHAT_EXISTS}`)
          )
        )
      )
      const sockets = webSocketServer()

      yield* listener.serve({
        request: (request, response) => {
          const refusal = guard(request)
          return refusal === undefined ? handle(request, response) : refuse(response, refusal)
        },
        upgrade: (request, socket, head) => {
          const refusal = guard(request)
          if (refusal !== undefined) return refuseUpgrade(socket, refusal)
          if (Guard.pathOf(request.url) !== WS_PATH) {
            return refuseUpgrade(socket, Problem.fromStatus(404, "Not Found", `only ${WS_PATH} is a WebSocket`))
          }
          sockets.handleUpgrade(request, socket, head, (ws) => door.accept(ws, request.headers))
        }
      })
    })
  )
