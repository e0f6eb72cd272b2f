/**
 * The RPC group over a WebSocket (`/rpc/ws`): the door to prefer, since each chunk of a stream waits until the client took
 * the one before.
 *
 * Started after the manager; stopped before it, so that no call reaches a manager that is stopping. On stopping every client's
 * socket is closed with 1001, and its calls end with that.
 */
import type { Headers } from "@effect/platform/Headers"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { IncomingHttpHeaders } from "node:http"
import * as Stream from "effect/Stream"
import type { WebSocket } from "ws"
import { CALLER } from "../../domain/Limits.js"
import { STREAM_METHODS, type StreamMethod, UNARY_METHODS, type UnaryMethod } from "../../domain/Methods.js"
import type { ConnectionManager } from "../../manager/ConnectionManager.js"
import * as Executor from "../../manager/Executor.js"
import { StreamQuota } from "../../manager/StreamQuota.js"
import { Essentials } from "../../observability/Essentials.js"
import { Metrics } from "../../observability/Metrics.js"
import { ManagerRpcs } from "../../rpc/ManagerRpcs.js"
import { judge } from "../../rpc/RequestDecoding.js"
import { CLIENT_HEADER } from "../../rpc/Serialization.js"
import * as SocketProtocol from "./SocketProtocol.js"

export class RpcDoor extends Context.Tag("websocketmanager/api/rpc/RpcDoor")<
  RpcDoor,
  {
    /** Takes over a socket whose opening request was let in. Its payload limit is MAX_BODY_BYTES. */
    readonly accept: (socket: WebSocket, headers: IncomingHttpHeaders) => void
  }
>() {}

/** Methods whose answer is a page. */
const LARGE = new Set(["List"])

export const layer: Layer.Layer<RpcDoor, never, ConnectionManager | Metrics | Essentials | StreamQuota> = Layer.scoped(
  RpcDoor,
  Effect.gen(function* () {
    const { essential } = yield* Essentials
    const quota = yield* StreamQuota
    const metrics = yield* Metrics
    metrics.keptBytes(() => [
      [["requests"], quota.requests.used],
      [["answers"], quota.unread.budget.used]
    ])
    const executor = yield* Executor.make("rpc-ws")
    const { accept, closeAll, opened, protocol } = yield* SocketProtocol.make(judge, {
      bytes: CALLER.REQUEST_BYTES,
      all: quota.requests,
      requests: CALLER.REQUESTS,
      unread: quota.unread,
      unreadBytes: CALLER.UNREAD_BYTES,
      large: LARGE
    })
    const handlers = ManagerRpcs.toLayer(makeHandlers(executor, ({ clientId, headers }) => opened(clientId, headers)))
    yield* RpcServer.make(ManagerRpcs, { disableFatalDefects: true }).pipe(
      Effect.provideService(RpcServer.Protocol, protocol),
      Effect.provide(handlers),
      (server) => essential("calls over WebSockets", server),
      Effect.interruptible,
      Effect.forkScoped
    )
    // registered last, so that it runs first: the server waits for its clients to end
    yield* Effect.addFinalizer(() => closeAll)
    return { accept: (socket, headers) => void accept(socket, headers) }
  })
)

// ------------------------------------------------------------ the handlers

// The handlers of the RPC group over one door's executor. A caller's own timeout arrives as interruption.

/** Told when a stream has begun, before its first item. */
type OnOpened = (call: { readonly clientId: number; readonly headers: Headers }) => Effect.Effect<void>

const makeHandlers = ({ call, open }: Executor.Executor, onOpened: OnOpened) => {
  const unary = (method: UnaryMethod) => (request: never) => call(method, request)
  const stream = (method: StreamMethod) => (request: never, info: Parameters<OnOpened>[0]) =>
    Stream.unwrapScoped(Effect.tap(open(method, request, info.headers[CLIENT_HEADER] ?? ""), onOpened(info)))
  // complete, as the tables of names are; the group and the executor agree by name on the types of each handler
  return Object.fromEntries([
    ...UNARY_METHODS.map((method) => [method, unary(method)]),
    ...STREAM_METHODS.map((method) => [method, stream(method)])
  ]) as unknown as RpcGroup.HandlersFrom<RpcGroup.Rpcs<typeof ManagerRpcs>>
}
