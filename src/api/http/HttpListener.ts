/**
 * The bound HTTP port, apart from what is served on it. The port and the address are known before anything else is built,
 * and connecting is refused only when this process is gone.
 *
 * Opened before the first heartbeat record is written, closed last: "refused" tells peers that nothing of this process acts
 * any more. Until routes are served, and after they have gone, every request is answered 503; `/alive` and `/health/live`
 * tell that the process lives all the time.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { readFileSync } from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import type { SecureContextOptions } from "node:tls"
import { type ServerOptions, WebSocketServer } from "ws"
import { bracketed } from "../../common/Hosts.js"
import { Settings } from "../../config/Settings.js"
import type { SettingsShape } from "../../config/SettingsShape.js"
import { STRANGER } from "../../domain/Limits.js"
import { MAX_BODY_BYTES } from "../../rpc/Serialization.js"
import * as Arrivals from "../rpc/Arrivals.js"
import { layer as RefusalsLayer, Refusals } from "../rpc/Refusals.js"
import * as TlsFiles from "../rpc/TlsFiles.js"
import { pathOf } from "./Guard.js"
import * as Problem from "./Problem.js"

/** Represents a port that could not be opened: taken, forbidden, or a certificate that cannot be read. */
export class ListenFailed extends Data.TaggedError("ListenFailed")<{
  readonly setting: "WSM_HTTP_PORT" | "WSM_PEER_PORT"
  readonly host: string
  readonly port: number
  readonly reason: string
}> {
  override get message() {
    return `cannot listen on ${this.host}:${this.port}: ${this.reason}`
  }
}

export interface Served {
  readonly request: (request: Http.IncomingMessage, response: Http.ServerResponse) => void
  readonly upgrade: (request: Http.IncomingMessage, socket: Duplex, head: Buffer) => void
}

export interface Listener {
  readonly host: string
  /** the port really bound */
  readonly port: number
  readonly secure: boolean
  /** scheme, host as listened on, port */
  readonly address: string
  readonly server: Http.Server | Https.Server
  /** Serves the upgrades of one path, before and beside what is served in general, until the scope closes. */
  readonly upgrade: (path: string, handler: Served["upgrade"]) => Effect.Effect<void, never, Scope.Scope>
  /** Serves until the scope closes. */
  readonly serve: (served: Served) => Effect.Effect<void, never, Scope.Scope>
}

export class HttpListener extends Context.Tag("websocketmanager/api/http/HttpListener")<HttpListener, Listener>() {}

/** Where peers are served: the HTTP port, or one of their own. */
export class PeerListener extends Context.Tag("websocketmanager/api/http/PeerListener")<PeerListener, Listener>() {}

/** How long an open request or event stream may go on when the port closes. */
const CLOSE_GRACE_MS = 250

/** How long a caller may take for a body. */
const REQUEST_MS = 120_000

const NOT_READY = Problem.fromStatus(503, "Service Unavailable", "the manager is starting or stopping")

/** Answers at once, without routes; the connection is not kept. */
export const refuse = (response: Http.ServerResponse, { body, status }: Problem.Problem): void => {
  response.writeHead(status, {
    "content-type": Problem.PROBLEM_JSON,
    connection: "close",
    ...(status === 401 ? { "www-authenticate": "Bearer" } : {})
  })
  response.end(body)
}

/** The same for an upgrade, which has no response object. */
export const refuseUpgrade = (socket: Duplex, { body, status }: Problem.Problem): void => {
  const authenticate = status === 401 ? "www-authenticate: Bearer\r\n" : ""
  socket.on("error", () => socket.destroy())
  // a client that keeps its end open keeps a file descriptor of this process
  const cut = setTimeout(() => socket.destroy(), STRANGER.REFUSED_UPGRADE_MS)
  socket.once("close", () => clearTimeout(cut))
  socket.resume()
  socket.end(
    `HTTP/1.1 ${status} ${Http.STATUS_CODES[status] ?? ""}\r\nconnection: close\r\n${authenticate}` +
      `content-type: ${Problem.PROBLEM_JSON}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}

/** For the upgrades of one path; a handshake that fails ends its socket. */
export const webSocketServer = (options: Pick<ServerOptions, "handleProtocols"> = {}): WebSocketServer => {
  const server = new WebSocketServer({
    ...options,
    noServer: true,
    maxPayload: MAX_BODY_BYTES,
    perMessageDeflate: false
  })
  server.on("wsClientError", (_error, socket) => socket.destroy())
  return server
}

const idle: Served = {
  request: (request, response) => {
    const path = pathOf(request.url)
    if (path !== "/alive" && path !== "/health/live") return refuse(response, NOT_READY)
    response.writeHead(200, { "content-length": "0" })
    response.end()
  },
  upgrade: (_request, socket) => refuseUpgrade(socket, NOT_READY)
}

const TIMES: Http.ServerOptions = {
  headersTimeout: STRANGER.SILENT_MS,
  requestTimeout: REQUEST_MS,
  connectionsCheckingInterval: STRANGER.SILENT_MS / 10
}

/** `clientCa`: diallers must show a certificate of this authority. */
const verifying = (clientCa: string) =>
  clientCa === "" ? {} : { ca: readFileSync(clientCa), requestCert: true, rejectUnauthorized: true }

const createServer = (settings: SettingsShape, clientCa: string): Http.Server | Https.Server =>
  settings.tlsCert === ""
    ? Http.createServer(TIMES)
    : Https.createServer({
        ...TIMES,
        ...TlsFiles.read(settings),
        ...verifying(clientCa),
        handshakeTimeout: STRANGER.SILENT_MS
      })

const listen = (server: Http.Server, host: string, port: number): Effect.Effect<void, Error> =>
  Effect.async((resume) => {
    const failed = (error: Error) => resume(Effect.fail(error))
    server.once("error", failed)
    server.listen({ host, port }, () => {
      server.off("error", failed)
      resume(Effect.void)
    })
  })

/** `close` alone would wait for ever for an open event stream or a kept connection. */
const close = (server: Http.Server): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    if (!server.listening) return resume(Effect.void)
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
    server.close(() => {
      clearTimeout(cut)
      resume(Effect.void)
    })
    server.closeIdleConnections()
  })

const bind = (
  settings: SettingsShape,
  setting: ListenFailed["setting"],
  wanted: number,
  clientCa = ""
): Effect.Effect<Listener, ListenFailed, Refusals | Scope.Scope> =>
  Effect.gen(function* () {
    const { host, tlsCert } = settings
    const fail = (error: unknown) =>
      new ListenFailed({ setting, host, port: wanted, reason: error instanceof Error ? error.message : String(error) })

    const server = yield* Effect.acquireRelease(
      Effect.try({ try: () => createServer(settings, clientCa), catch: fail }),
      close
    )
    const { refused } = yield* Refusals
    Arrivals.guard(server, (reason, address) => refused("http", reason, address))
    const door = clientCa === "" ? "HTTP" : "peers'"
    const fresh = {
      setSecureContext: (context: SecureContextOptions) =>
        (server as Https.Server).setSecureContext({ ...context, ...verifying(clientCa) })
    }
    if (server instanceof Https.Server) yield* TlsFiles.follow(settings, fresh, door)
    let served = idle
    server.on("request", (request, response) => served.request(request, response))
    const upgrades = new Map<string, Served["upgrade"]>()
    server.on("upgrade", (request, socket, head) => {
      const upgrade = upgrades.get(pathOf(request.url)) ?? served.upgrade
      upgrade(request, socket, head)
    })
    server.on("clientError", (_error, socket) => socket.destroy())
    yield* Effect.mapError(listen(server, host, wanted), fail)
    yield* Effect.sync(() => server.on("error", () => {}))

    const { port } = server.address() as AddressInfo
    const secure = tlsCert !== ""
    return {
      host,
      port,
      secure,
      address: `${secure ? "https" : "http"}://${bracketed(host)}:${port}`,
      server,
      upgrade: (path, handler) =>
        Effect.acquireRelease(
          Effect.sync(() => void upgrades.set(path, handler)),
          () => Effect.sync(() => upgrades.delete(path))
        ),
      serve: (handlers) =>
        Effect.acquireRelease(
          Effect.sync(() => void (served = handlers)),
          () => Effect.sync(() => (served = idle))
        )
    }
  })

const listening: Layer.Layer<HttpListener, ListenFailed, Settings | Refusals> = Layer.scoped(
  HttpListener,
  Effect.flatMap(Settings, (settings) => bind(settings, "WSM_HTTP_PORT", settings.httpPort))
)

/** With it comes the counter of refusals: it is there before anything else of the instance. */
export const layer: Layer.Layer<HttpListener | Refusals, ListenFailed, Settings> = Layer.provideMerge(
  listening,
  RefusalsLayer
)

/** The HTTP port, unless the settings name one for peers alone. */
export const peerLayer: Layer.Layer<PeerListener, ListenFailed, Settings | HttpListener | Refusals> = Layer.scoped(
  PeerListener,
  Effect.gen(function* () {
    const settings = yield* Settings
    if (settings.peerPort === undefined) return yield* HttpListener
    return yield* bind(settings, "WSM_PEER_PORT", settings.peerPort, settings.peerTlsCa)
  })
)
