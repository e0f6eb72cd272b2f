/**
 * The gRPC listener: the service, health and reflection on one port, HTTP/2 in clear text, or with TLS when a certificate is set.
 *
 * Started after the manager, which answers from the first call on. Stopped before it: no new calls, streams are ended with
 * UNAVAILABLE, unary calls in flight have a second.
 */
import { readFile } from "node:fs/promises"
import * as Net from "node:net"
import { createSecureContext } from "node:tls"
import * as grpc from "@grpc/grpc-js"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Settings, type SettingsShape } from "../../config/Settings.js"
import type { ConnectionManager } from "../../manager/ConnectionManager.js"
import type { Health } from "../../manager/Health.js"
import type { Metrics } from "../../observability/Metrics.js"
import type { StreamQuota } from "../rpc/StreamQuota.js"
import * as AppHealth from "./AppHealth.js"
import * as Auth from "./Auth.js"
import * as GrpcHealth from "./Health.js"
import { MAX_MESSAGE_BYTES } from "./Oversize.js"
import * as Reflection from "./Reflection.js"
import * as Service from "./Service.js"

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

const GRACE = "1 second"

const OPTIONS: grpc.ServerOptions = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  // a client whose host is gone holds its streams for a minute at most
  "grpc.keepalive_time_ms": 40_000,
  "grpc.keepalive_timeout_ms": 20_000,
  "grpc.keepalive_permit_without_calls": 1
}

export const layer: Layer.Layer<
  GrpcListener,
  GrpcListenFailed,
  Settings | ConnectionManager | Health | Metrics | StreamQuota
> = Layer.scoped(
  GrpcListener,
  Effect.gen(function* () {
    const settings = yield* Settings
    const credentials = yield* credentialsOf(settings)
    const { definition, endStreams, implementation } = yield* Service.make
    const interceptor = Auth.interceptor(settings)
    const server = new grpc.Server({ ...OPTIONS, ...(interceptor !== undefined && { interceptors: [interceptor] }) })
    server.addService(definition, implementation)
    Reflection.addTo(server)
    const sockets = new Set<Net.Socket>()
    yield* Effect.addFinalizer(() => stop(server, sockets, endStreams))
    yield* GrpcHealth.addTo(server)
    yield* AppHealth.addTo(server)
    const injector = server.createConnectionInjector(credentials)
    const port = yield* listen(settings, (socket) => {
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
      injector.injectConnection(socket)
    })
    return { host: settings.host, port, tls: settings.tlsCert !== "" }
  })
)

/** Ends within the grace period, whatever the clients do. */
const stop = (
  server: grpc.Server,
  sockets: ReadonlySet<Net.Socket>,
  endStreams: Effect.Effect<void>
): Effect.Effect<void> => {
  const closed = Effect.async<void>((resume) => server.tryShutdown(() => resume(Effect.void)))
  return Effect.all([closed, endStreams], { concurrency: "unbounded", discard: true }).pipe(
    Effect.interruptible,
    Effect.timeoutTo({ duration: GRACE, onSuccess: () => undefined, onTimeout: () => undefined }),
    Effect.ensuring(
      Effect.sync(() => {
        server.forceShutdown()
        for (const socket of sockets) socket.destroy()
      })
    )
  )
}

/**
 * Opens the port; answers with the one that is really bound. We listen ourselves, and not grpc-js, since it hides why it could
 * not, and writes to standard error about it.
 */
const listen = (
  settings: SettingsShape,
  accept: (socket: Net.Socket) => void
): Effect.Effect<number, GrpcListenFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Net.Server, GrpcListenFailed>((resume) => {
      const listener = Net.createServer({ noDelay: true }, accept)
      listener.once("error", (error: NodeJS.ErrnoException) =>
        resume(new GrpcListenFailed({ address: addressOf(settings), reason: whyNot(error) }))
      )
      listener.listen(settings.grpcPort, settings.host, () => resume(Effect.succeed(listener)))
    }),
    (listener) => Effect.sync(() => listener.close())
  ).pipe(Effect.map((listener) => (listener.address() as Net.AddressInfo).port))

const addressOf = ({ grpcPort, host }: SettingsShape): string =>
  host.includes(":") ? `[${host}]:${grpcPort}` : `${host}:${grpcPort}`

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

const credentialsOf = (settings: SettingsShape): Effect.Effect<grpc.ServerCredentials, GrpcListenFailed> => {
  if (settings.tlsCert === "") return Effect.succeed(grpc.ServerCredentials.createInsecure())
  const failed = (error: unknown) =>
    new GrpcListenFailed({
      address: addressOf(settings),
      reason: `the certificate of WSM_TLS_CERT and WSM_TLS_KEY cannot be used: ${error instanceof Error ? error.message : String(error)}`
    })
  return Effect.tryPromise({
    try: async () => {
      const [cert_chain, private_key] = await Promise.all([readFile(settings.tlsCert), readFile(settings.tlsKey)])
      createSecureContext({ cert: cert_chain, key: private_key }) // refuses what does not fit together
      return grpc.ServerCredentials.createSsl(null, [{ cert_chain, private_key }])
    },
    catch: failed
  })
}
