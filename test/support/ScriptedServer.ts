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
import { type WebSocket, WebSocketServer } from "ws"
import { TEST_CERT, TEST_KEY } from "./testCertificate.js"

export interface ScriptedServerOptions {
  /** speak TLS with the self-signed certificate of `testCertificate.ts` */
  readonly tls?: boolean
  /** the subprotocol to answer with; default the first one offered; false: none, `{ raw }`: this one, offered or not */
  readonly subprotocol?: string | false | { readonly raw: string }
  /** accept permessage-deflate */
  readonly compression?: boolean
  readonly port?: number
}

export interface ReceivedFrame {
  readonly data: Buffer
  readonly binary: boolean
  /** milliseconds since 1970 */
  readonly at: number
}

/** One frame from a server: not masked, length in its shortest form. */
export const encodeFrame = (opcode: number, payload: Uint8Array, fin = true): Buffer => {
  const n = payload.length
  const header = Buffer.alloc(n < 126 ? 2 : n < 65_536 ? 4 : 10)
  header[0] = (fin ? 0x80 : 0) | opcode
  if (n < 126) header[1] = n
  else if (n < 65_536) {
    header[1] = 126
    header.writeUInt16BE(n, 2)
  } else {
    header[1] = 127
    header.writeBigUInt64BE(BigInt(n), 2)
  }
  return Buffer.concat([header, payload])
}

const FLOOD_BLOCK = 65_536

/** One socket the server accepted, open or gone. */
export class Peer {
  readonly openedAt = Date.now()
  closedAt: number | undefined
  closeCode: number | undefined
  closeReason = ""
  readonly frames: Array<ReceivedFrame> = []
  pings = 0
  pongs = 0

  constructor(
    readonly server: ScriptedServer,
    readonly ws: WebSocket,
    readonly socket: Duplex,
    /** path and query of the opening request */
    readonly url: string,
    readonly headers: Http.IncomingHttpHeaders
  ) {
    ws.on("message", (data: Buffer, binary: boolean) => {
      this.frames.push({ data, binary, at: Date.now() })
      server.onFrame(this, data, binary)
      server.changed()
    })
    ws.on("ping", () => {
      this.pings += 1
      server.changed()
    })
    ws.on("pong", () => {
      this.pongs += 1
      server.changed()
    })
    ws.on("error", () => {})
    ws.on("close", (code, reason) => {
      this.closedAt = Date.now()
      this.closeCode = code
      this.closeReason = reason.toString()
      server.changed()
    })
  }

  get open(): boolean {
    return this.closedAt === undefined
  }
  get subprotocol(): string {
    return this.ws.protocol
  }
  /** The text frames and binary frames it received, as text. */
  get texts(): ReadonlyArray<string> {
    return this.frames.map((f) => f.data.toString())
  }

  send(data: string | Uint8Array): void {
    this.ws.send(data)
  }
  ping(): void {
    this.ws.ping()
  }
  /** Starts the closing handshake; without a code the close frame is empty. */
  close(code?: number, reason?: string): void {
    this.ws.close(code, reason)
  }
  /** A close frame with any code whatever, the reserved ones too. */
  closeRaw(code: number, reason = ""): void {
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason))
    payload.writeUInt16BE(code)
    payload.write(reason, 2)
    this.raw(encodeFrame(0x8, payload))
  }
  /** Cuts the socket without a close frame. */
  cut(): void {
    this.ws.terminate()
  }
  /** Half-open, or a slow reader: reads nothing more, so that no pong and no close goes out. The socket is kept. */
  stopReading(): void {
    this.ws.pause()
  }
  resumeReading(): void {
    this.ws.resume()
  }
  /** Bytes straight to the socket. */
  raw(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }
  sendInvalidUtf8(): void {
    this.raw(encodeFrame(0x1, Buffer.from([0x61, 0xff, 0xfe, 0x62])))
  }
  /** One message in as many fragments as there are parts, with a ping between the first two. */
  sendFragmented(parts: ReadonlyArray<string>): void {
    parts.forEach((part, i) => {
      this.raw(encodeFrame(i === 0 ? 0x1 : 0x0, Buffer.from(part), i === parts.length - 1))
      if (i === 0) this.raw(encodeFrame(0x9, Buffer.from("between")))
    })
  }
  /**
   * Text frames of `size` bytes as fast as the socket takes them; done when all were written or the socket went away.
   * Numbered frames begin with their index, padded with zeros to eight digits; others are all alike, written in blocks.
   */
  async flood(options: {
    readonly count: number
    readonly size: number
    readonly numbered?: boolean
  }): Promise<number> {
    const { count, size } = options
    const perBlock = Math.max(1, Math.floor(FLOOD_BLOCK / (size + 4)))
    const filler = Buffer.alloc(size, "x")
    const block = Buffer.concat(Array.from({ length: perBlock }, () => encodeFrame(0x1, filler)))
    const one = block.length / perBlock
    let written = 0
    while (written < count && this.socket.writable) {
      const n = Math.min(perBlock, count - written)
      const chunk = options.numbered ? this.numbered(written, n, filler) : block.subarray(0, n * one)
      written += n
      if (!this.socket.write(chunk)) await this.drained()
    }
    return written
  }

  private numbered(from: number, n: number, filler: Buffer): Buffer {
    return Buffer.concat(
      Array.from({ length: n }, (_, i) => {
        const payload = Buffer.from(filler)
        payload.write(String(from + i).padStart(8, "0"))
        return encodeFrame(0x1, payload)
      })
    )
  }

  private drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.socket.off("drain", done)
        this.socket.off("close", done)
        resolve()
      }
      this.socket.on("drain", done)
      this.socket.on("close", done)
    })
  }
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
