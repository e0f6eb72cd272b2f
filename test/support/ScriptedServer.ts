/**
 * A real WebSocket server on port 0 that does what a test asks of it: accept, refuse, stall, flood, half-open, close with
 * a code, cut, and come back on the same port. Nothing is faked: what it cannot do with `ws` it writes to the socket.
 *
 * Settings hold for openings from then on. `until` waits for a condition by looking whenever something happened.
 */
import { EventEmitter, once } from "node:events"
import * as Http from "node:http"
import * as Https from "node:https"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { WebSocketServer } from "ws"
import { Peer } from "./ScriptedPeer.js"
import { TEST_CERT, TEST_KEY } from "./testCertificate.js"

export { encodeFrame, Peer, type ReceivedFrame } from "./ScriptedPeer.js"

export interface ScriptedServerOptions {
  /** speak TLS with the self-signed certificate of `testCertificate.ts` */
  readonly tls?: boolean
  /** the subprotocol to answer with; default the first one offered; false: none, `{ raw }`: this one, offered or not */
  readonly subprotocol?: string | false | { readonly raw: string }
  /** accept permessage-deflate */
  readonly compression?: boolean
  readonly port?: number
}

type Opening = (request: Http.IncomingMessage, socket: Duplex, head: Buffer) => void

export class ScriptedServer {
  /** every socket that was accepted, in order */
  readonly peers: Array<Peer> = []
  /** opening requests seen, refused ones too */
  readonly openings: Array<{ readonly url: string; readonly headers: Http.IncomingHttpHeaders; readonly at: number }> =
    []
  /** called for each accepted socket, before its first frame is read */
  onOpen: (peer: Peer) => void = () => {}
  /** called for each frame of each peer */
  onFrame: (peer: Peer, data: Buffer, binary: boolean) => void = () => {}

  private readonly events = new EventEmitter()
  private readonly sockets = new Set<Duplex>()
  private readonly wss: WebSocketServer
  private http: Http.Server | undefined
  private boundPort = 0
  private opening: Opening = (request, socket, head) => this.upgrade(request, socket, head)

  private constructor(private readonly options: ScriptedServerOptions) {
    this.events.setMaxListeners(0)
    this.wss = new WebSocketServer({
      noServer: true,
      perMessageDeflate: options.compression === true,
      maxPayload: 64 * 1024 * 1024,
      handleProtocols: (offered) => {
        if (typeof options.subprotocol === "string") return options.subprotocol
        return options.subprotocol === undefined ? ([...offered][0] ?? false) : false
      }
    })
    this.wss.on("headers", (headers) => {
      if (typeof options.subprotocol === "object") headers.push(`Sec-WebSocket-Protocol: ${options.subprotocol.raw}`)
    })
  }

  /** A server that listens on 127.0.0.1, as an async resource: `await server.stop()` at the end. */
  static async start(options: ScriptedServerOptions = {}): Promise<ScriptedServer> {
    const server = new ScriptedServer(options)
    server.boundPort = options.port ?? 0
    await server.listen()
    return server
  }

  /** The same, stopped with the scope. */
  static scoped(options: ScriptedServerOptions = {}): Effect.Effect<ScriptedServer, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.promise(() => ScriptedServer.start(options)),
      (server) => Effect.promise(() => server.stop())
    )
  }

  get port(): number {
    return this.boundPort
  }
  /** `ws://127.0.0.1:port`, without a path */
  get url(): string {
    return `${this.options.tls ? "wss" : "ws"}://127.0.0.1:${this.boundPort}`
  }

  /** Sockets that are open now. */
  connections(): number {
    return this.peers.filter((peer) => peer.open).length
  }
  /** TCP connections that are open now, also those without an answer. */
  rawSockets(): number {
    return this.sockets.size
  }
  /** The socket accepted last. */
  get last(): Peer {
    const peer = this.peers.at(-1)
    if (peer === undefined) throw new Error("no socket was accepted yet")
    return peer
  }

  // ------------------------------------------------------------ what it does with openings from now on

  accept(): void {
    this.opening = (request, socket, head) => this.upgrade(request, socket, head)
  }
  /** Accepts, each after so many milliseconds. */
  acceptAfter(ms: number): void {
    this.opening = (request, socket, head) => {
      setTimeout(() => socket.destroyed || this.upgrade(request, socket, head), ms)
    }
  }
  /** Answers with an HTTP status; `times` openings, then accepts. */
  refuse(status: number, headers: Readonly<Record<string, string>> = {}, times = Infinity): void {
    const lines = Object.entries({ "Content-Length": "0", Connection: "close", ...headers })
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")
    this.answerRaw(`HTTP/1.1 ${status} ${Http.STATUS_CODES[status] ?? "Status"}\r\n${head}\r\n`, times)
  }
  /** Answers with these bytes and closes; `times` openings, then accepts. */
  answerRaw(bytes: string, times = Infinity): void {
    let left = times
    this.opening = (_request, socket) => {
      if (--left <= 0) this.accept()
      socket.end(bytes)
    }
  }
  /** Takes the TCP connection and the request, and never answers. */
  stallOpening(): void {
    this.opening = (_request, socket) => {
      socket.on("end", () => socket.destroy())
      socket.resume()
    }
  }
  /** Takes the request and cuts the socket. */
  cutOpening(): void {
    this.opening = (_request, socket) => socket.destroy()
  }
  /** Sends every frame back as it came. */
  echo(): void {
    this.onFrame = (peer, data, binary) => peer.ws.send(data, { binary })
  }

  // ------------------------------------------------------------ its own life

  /** Cuts all sockets and frees the port. */
  async stop(): Promise<void> {
    const http = this.http
    if (http === undefined) return
    this.http = undefined
    const closed = once(http, "close")
    http.close()
    for (const socket of this.sockets) socket.destroy()
    await closed
  }
  /** Listens again on the same port. */
  async listen(): Promise<void> {
    const http = this.options.tls ? Https.createServer({ key: TEST_KEY, cert: TEST_CERT }) : Http.createServer()
    const track = (socket: Duplex) => {
      this.sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => {
        this.sockets.delete(socket)
        this.changed()
      })
    }
    http.on("connection", track)
    http.on("secureConnection", track)
    http.on("tlsClientError", () => this.changed())
    http.on("upgrade", (request, socket, head) => {
      this.openings.push({ url: request.url ?? "", headers: request.headers, at: Date.now() })
      this.opening(request, socket, head)
      this.changed()
    })
    http.listen(this.boundPort, "127.0.0.1")
    await once(http, "listening")
    this.boundPort = (http.address() as AddressInfo).port
    this.http = http
  }
  /** Stop, then listen again on the same port. */
  async restart(): Promise<void> {
    await this.stop()
    await this.listen()
  }

  // ------------------------------------------------------------ waiting

  /** Waits until the condition holds, looking whenever something happened here; fails after `timeoutMs`. */
  async until(condition: () => boolean, timeoutMs = 5000): Promise<void> {
    if (condition()) return
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!condition()) return
        clearTimeout(timer)
        this.events.off("change", look)
        resolve()
      }
      const timer = setTimeout(() => {
        this.events.off("change", look)
        reject(new Error(`not within ${timeoutMs} ms: ${condition.toString()}`))
      }, timeoutMs)
      this.events.on("change", look)
    })
  }
  /** The `n`th socket accepted, from 1, as soon as it is there. */
  async peer(n = this.peers.length + 1): Promise<Peer> {
    await this.until(() => this.peers.length >= n)
    return this.peers[n - 1]!
  }
  /** Called by peers: wakes whoever waits. */
  changed(): void {
    this.events.emit("change")
  }

  private upgrade(request: Http.IncomingMessage, socket: Duplex, head: Buffer): void {
    this.wss.handleUpgrade(request, socket, head, (ws) => {
      const peer = new Peer(this, ws, socket, request.url ?? "", request.headers)
      this.peers.push(peer)
      this.onOpen(peer)
      this.changed()
    })
  }
}
