/**
 * The gRPC listener: the service, health and reflection on one port, HTTP/2 in clear text, or with TLS when a certificate is set.
 *
 * Started after the manager, which answers from the first call on. Stopped before it: no new calls, streams are ended with
 * UNAVAILABLE, unary calls in flight have a second.
 */
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as grpc from "@grpc/grpc-js"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { bracketed } from "../../common/Hosts.js"
import { Settings } from "../../config/Settings.js"
import type { SettingsShape } from "../../config/SettingsShape.js"
import { STRANGER } from "../../domain/Limits.js"
import type { ConnectionManager } from "../../manager/ConnectionManager.js"
import type { Health } from "../../manager/Health.js"
import { StreamQuota } from "../../manager/StreamQuota.js"
import type { Metrics } from "../../observability/Metrics.js"
import * as Arrivals from "../rpc/Arrivals.js"
import { Refusals } from "../rpc/Refusals.js"
import * as TlsFiles from "../rpc/TlsFiles.js"
import * as Admission from "./Admission.js"
import * as AppHealth from "./AppHealth.js"
import * as Auth from "./Auth.js"
import * as GrpcHealth from "./GrpcHealth.js"
import * as GrpcService from "./GrpcService.js"
import { GRPC_MESSAGE_MAX_BYTES } from "./Oversize.js"
import * as Reflection from "./Reflection.js"

/** Where the gRPC door really listens. */
export class GrpcListener extends Context.Tag("websocketmanager/api/grpc/GrpcListener")<
  GrpcListener,
  { readonly host: string; readonly port: number; readonly tls: boolean }
>() {}

/** Represents a gRPC door that could not be opened. The message says what to change. */
export class GrpcListenFailed extends Schema.TaggedError<GrpcListenFailed>()("GrpcListenFailed", {
  address: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `cannot listen for gRPC on ${this.address}: ${this.reason}`
  }
}

const SHUTDOWN_GRACE = "1 second"

const OPTIONS: grpc.ServerOptions = {
  ...Admission.OPTIONS,
  "grpc.max_receive_message_length": GRPC_MESSAGE_MAX_BYTES,
  "grpc.max_send_message_length": GRPC_MESSAGE_MAX_BYTES,
  // a client whose host is gone holds its streams for a minute at most
  "grpc.keepalive_time_ms": 40_000,
  "grpc.keepalive_timeout_ms": 20_000,
  "grpc.keepalive_permit_without_calls": 1
}

export const layer: Layer.Layer<
  GrpcListener,
  GrpcListenFailed,
  Settings | ConnectionManager | Health | Metrics | StreamQuota | Refusals
> = Layer.scoped(
  GrpcListener,
  Effect.gen(function* () {
    const settings = yield* Settings
    const { requests, unread } = yield* StreamQuota
    const refusals = yield* Refusals
    const refused = (reason: string, address: string | undefined) => refusals.refused("grpc", reason, address)
    const listener = yield* listenerOf(settings)
    const { definition, endStreams, implementation } = yield* GrpcService.make
    const interceptor = Auth.interceptor(settings, (call) => refused("token", addressIn(call.getPeer())))
    const server = new grpc.Server({ ...OPTIONS, interceptors: [interceptor] })
    Admission.prepare(server)
    server.addService(definition, implementation)
    Reflection.addTo(server)
    const sockets = new Set<Net.Socket>()
    yield* Effect.addFinalizer(() => stop(server, sockets, endStreams))
    yield* GrpcHealth.addTo(server)
    yield* AppHealth.addTo(server)
    // what is encrypted is taken off by the listener
    const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure())
    Admission.guard(server, { admits: Auth.callerOf(settings), requests, unread, refused })
    Arrivals.guard(listener, refused)
    listener.on("connection", (socket: Net.Socket) => {
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
      socket.on("error", () => {})
    })
    listener.on(listener instanceof Tls.Server ? "secureConnection" : "connection", (socket: Net.Socket) => {
      if (!socket.destroyed) injector.injectConnection(socket)
    })
    listener.on("tlsClientError", (_error, socket: Net.Socket) => socket.destroy())
    if (listener instanceof Tls.Server) yield* TlsFiles.follow(settings, listener, "gRPC")
    const port = yield* listen(listener, settings)
    return { host: settings.host, port, tls: settings.tlsCert !== "" }
  })
)

/** The address in what grpc-js calls a peer: address and port. */
const addressIn = (peer: string): string => peer.replace(/:\d+$/, "")

/** Ends within the grace period, whatever the clients do. */
const stop = (
  server: grpc.Server,
  sockets: ReadonlySet<Net.Socket>,
  endStreams: Effect.Effect<void>
): Effect.Effect<void> => {
  const closed = Effect.async<void>((resume) => server.tryShutdown(() => resume(Effect.void)))
  return Effect.all([closed, endStreams], { concurrency: "unbounded", discard: true }).pipe(
    Effect.interruptible,
    Effect.timeoutTo({ duration: SHUTDOWN_GRACE, onSuccess: () => undefined, onTimeout: () => undefined }),
    Effect.ensuring(
      Effect.sync(() => {
        server.forceShutdown()
        for (const socket of sockets) socket.destroy()
      })
    )
  )
}

/**
 * Opens the port; answers with the one that is really bound. The door listens itself: grpc-js hides why it could not
 * listen, and writes to standard error about it.
 */
const listen = (listener: Net.Server, settings: SettingsShape): Effect.Effect<number, GrpcListenFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<void, GrpcListenFailed>((resume) => {
      listener.once("error", (error: NodeJS.ErrnoException) =>
        resume(new GrpcListenFailed({ address: addressOf(settings), reason: whyNot(error) }))
      )
      listener.listen(settings.grpcPort, settings.host, () => resume(Effect.void))
    }),
    () => Effect.sync(() => listener.close())
  ).pipe(Effect.map(() => (listener.address() as Net.AddressInfo).port))

const addressOf = ({ grpcPort, host }: SettingsShape): string => `${bracketed(host)}:${grpcPort}`

const whyNot = (error: NodeJS.ErrnoException): string => {
  switch (error.code) {
    case "EADDRINUSE":
      return "the port is in use; stop what listens there, or choose another port with WSM_GRPC_PORT"
    case "EACCES":
      return "this user may not open the port; choose one above 1023 with WSM_GRPC_PORT"
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return "this machine does not have that address; set WSM_HOST to one that it has"
    default:
      return error.message
  }
}

const listenerOf = (settings: SettingsShape): Effect.Effect<Net.Server, GrpcListenFailed> => {
  if (settings.tlsCert === "") return Effect.sync(() => Net.createServer({ noDelay: true }))
  return Effect.try({
    try: () =>
      Tls.createServer({
        ...TlsFiles.read(settings),
        ALPNProtocols: ["h2"],
        handshakeTimeout: STRANGER.SILENT_MS,
        noDelay: true
      }),
    catch: (error) =>
      new GrpcListenFailed({
        address: addressOf(settings),
        reason: `the certificate of WSM_TLS_CERT and WSM_TLS_KEY cannot be used: ${error instanceof Error ? error.message : String(error)}`
      })
  })
}
