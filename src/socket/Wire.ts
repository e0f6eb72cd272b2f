/**
 * One `ws` socket, from its dial on: what it can do, and what is told of it.
 *
 * There are thousands of these for a long time, so each is one object with its methods on the prototype.
 */
import type { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import { WebSocket } from "ws"
import { type Defect, describe, guard, type Guarded, later, listenTo, soon } from "./CallbackGuard.js"
import { dialFailure, dialFaulted, fromError, parseRetryAfter } from "./DialFailures.js"
import type { Reading, ReadTurn } from "./ReadTurn.js"
import type { DialFailure, SessionEnd } from "./Session.js"
import { ofSocket, oneLine } from "./SocketErrors.js"

/** Synchronous and in order: `onOpen`, then frames, then `onEnd` once. */
export interface WireHandlers {
  readonly onOpen: (wire: Wire) => void
  readonly onFrame: (data: Buffer, binary: boolean) => void
  /** a ping or a pong came */
  readonly onControl: () => void
  readonly onEnd: (end: SessionEnd) => void
}

/** An open socket, as bare as it comes. */
export interface Wire {
  readonly subprotocol: string
  readonly send: (data: Uint8Array, binary: boolean, done?: (error?: Error | null) => void) => void
  readonly ping: () => void
  /** bytes not yet given to the kernel */
  readonly bufferedAmount: () => number
  /** so many leave as one, or none of them can be read */
  readonly indivisibleBytes: number
  /** no longer: what is not yet with the kernel never will be */
  readonly isCut: () => boolean
  readonly pause: () => void
  readonly resume: () => void
  /**
   * Starts the closing handshake; the socket is cut after a second. Frames that are still under way are handed on, unless the
   * socket was paused: nobody has room for them, and a paused socket would never see the answer.
   */
  readonly close: (code: number, reason: string) => void
  /** Cuts the socket; nothing is handed on any more but `onEnd`. */
  readonly terminate: (reason?: string) => void
  /** What handles this socket threw: closes with 1011, and hands on nothing any more but `onEnd`. */
  readonly faulted: (defect: unknown) => void
}

/** How long the peer has to answer our close frame, and to read what is under way when it has ended its side. */
export const CLOSE_TIMEOUT_MS = 1000

/** Who dials, until the socket is open or was not to be had. */
export interface Dialler {
  readonly opened: () => void
  readonly fail: (failure: DialFailure) => void
}

/** Tells the handlers, and the dialler first, what happens on a socket that was just made. */
export const listen = (ws: WebSocket, handlers: WireHandlers, dialler: Dialler, turns: ReadTurn): void => {
  const wire = new WsWire(ws, handlers, dialler, turns)
  listenTo(ws, "upgrade", wire, wire.upgraded)
  listenTo(ws, "open", wire, wire.opened)
  listenTo(ws, "message", wire, wire.message)
  listenTo(ws, "ping", wire, wire.control)
  listenTo(ws, "pong", wire, wire.control)
  listenTo(ws, "unexpected-response", wire, wire.answered)
  listenTo(ws, "error", wire, wire.failed)
  listenTo(ws, "close", wire, wire.closed)
}

/** The plain text of one TLS record, at most (RFC 8446, 5.1). A part of a record cannot be read. */
const TLS_RECORD_BYTES = 16 * 1024

interface Ending {
  readonly code: number
  readonly reason: string
  readonly cause: "closed" | "protocol" | "fault"
  readonly defect?: Defect
}

class WsWire implements Wire, Reading {
  /** the code we sent, and why: our own close, or what ws did on bad input */
  private ours: Ending | undefined
  /** what told of the end of a socket that has no close code */
  private endedBy: string | undefined
  private lingering: (() => void) | undefined
  private socket: Socket | undefined
  private discard = false
  /** by whoever has the wire */
  private paused = false
  /** by the turn of the event loop, for a while */
  held = false
  beyond = 0
  turn = 0

  constructor(
    private readonly ws: WebSocket,
    private readonly handlers: WireHandlers,
    // Let go once the socket is open: it would keep the fibers of the dial for as long as the socket lives.
    private dialler: Dialler | undefined,
    private readonly turns: ReadTurn
  ) {}

  get subprotocol(): string {
    return this.ws.protocol
  }
  send(data: Uint8Array, binary: boolean, done?: (error?: Error | null) => void): void {
    this.ws.send(data, { binary }, done === undefined ? ignore : guard(this as Guarded, done))
  }
  ping(): void {
    this.ws.ping()
  }
  bufferedAmount(): number {
    return this.ws.bufferedAmount
  }
  get indivisibleBytes(): number {
    return this.socket instanceof TLSSocket ? TLS_RECORD_BYTES : 0
  }
  isCut(): boolean {
    return this.socket?.destroyed !== false
  }
  pause(): void {
    if (this.ours !== undefined) {
      this.discard = true
      return
    }
    this.paused = true
    this.ws.pause()
  }
  resume(): void {
    this.paused = false
    if (!this.held) this.ws.resume()
  }
  pauseReading(): void {
    this.ws.pause()
  }
  resumeReading(): void {
    if (!this.paused) this.ws.resume()
  }
  close(code: number, reason: string): void {
    if (this.ws.readyState !== WebSocket.OPEN) return
    this.ours = { code, reason, cause: "closed" }
    if (this.paused) this.discard = true
    this.ws.close(code, reason)
    // Whoever held it up: the answer is behind the frames that still come.
    this.paused = false
    this.ws.resume()
  }
  terminate(reason = "this instance cut the socket"): void {
    this.discard = true
    this.endedBy ??= reason
    // What TLS has given to the kernel in this turn it tells of in the next one.
    if (this.bufferedAmount() > 0 && this.indivisibleBytes > 0) soon(this, this.cut)
    else this.ws.terminate()
  }
  private cut(): void {
    this.ws.terminate()
  }
  faulted(thrown: unknown): void {
    if (this.dialler !== undefined) return this.dialler.fail(dialFaulted(thrown))
    const defect = describe(thrown)
    this.discard = true
    try {
      this.close(1011, FAULT)
    } catch {
      this.ws.terminate()
    }
    // over whatever else it was ending with: the first fault is what has to be mended
    if (this.ours?.cause !== "fault") {
      this.ours = { code: 1011, reason: `${defect.name} while the connection was handled`, cause: "fault", defect }
    }
  }

  // ------------------------------------------------------------ what ws tells

  upgraded({ socket }: IncomingMessage): void {
    this.socket = socket
    listenTo(socket, "end", this, this.peerEnded)
    // ws tells nobody of it.
    listenTo(socket, "error", this, this.broke)
  }
  private broke(error: Error): void {
    this.endedBy ??= ofSocket(error)
  }
  /** ws ends our side too, once all of ours is out: a peer that does not read would keep it for ever. */
  private peerEnded(): void {
    this.endedBy ??= "the peer ended the connection without a close frame"
    if (this.dialler === undefined) this.lingering = later(CLOSE_TIMEOUT_MS, this, this.cut)
  }
  opened(): void {
    const dialler = this.dialler
    this.dialler = undefined
    try {
      this.handlers.onOpen(this)
    } finally {
      dialler?.opened()
    }
  }
  message(data: Buffer, binary: boolean): void {
    if (this.discard) return
    this.turns.frame(data.length, this)
    this.handlers.onFrame(data, binary)
  }
  control(): void {
    this.handlers.onControl()
  }
  /** An answer other than 101. */
  answered(_request: unknown, { headers, statusCode: status = 0 }: IncomingMessage): void {
    const redirect = status >= 300 && status < 400 ? ", and redirects are not followed" : ""
    this.dialler?.fail(
      dialFailure("http", `the server answered ${status}${redirect}`, {
        httpStatus: status,
        retryAfterMs: parseRetryAfter(headers["retry-after"], Date.now())
      })
    )
  }
  failed(error: Error): void {
    if (this.dialler !== undefined) return this.dialler.fail(fromError(error))
    const code = protocolCode((error as NodeJS.ErrnoException).code ?? "")
    if (code === undefined) this.endedBy ??= oneLine(error)
    else this.ours ??= { code, reason: error.message, cause: "protocol" }
  }
  closed(code: number, reason: Buffer): void {
    this.lingering?.()
    if (this.dialler !== undefined) return
    // ws says 1005 for a close frame without a code and 1006 for none at all: then only ours was on the wire, if any.
    const theirs: Ending | undefined =
      code === 1005 || code === 1006 ? undefined : { code, reason: reason.toString(), cause: "closed" }
    const why = code === 1005 ? "the peer closed without a code" : (this.endedBy ?? "the socket was closed")
    const fault = this.ours?.cause === "fault" ? this.ours : undefined
    const end: Ending = fault ?? theirs ?? this.ours ?? { code: 1006, reason: why, cause: "closed" }
    const { code: closeCode, ...how } = end
    this.handlers.onEnd({ closeCode, ...how })
  }
}

const ignore = () => {}

/** What the peer is told of a fault. */
const FAULT = "internal error"

/** The close code that ws sends for what it could not read; undefined for errors of the socket itself. */
const protocolCode = (code: string): number | undefined => {
  if (code === "WS_ERR_INVALID_UTF8") return 1007
  if (code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") return 1009
  if (code === "WS_ERR_TOO_MANY_BUFFERED_PARTS") return 1008
  if (code.startsWith("WS_ERR_")) return 1002
  // Deflated data that cannot be inflated.
  return code.startsWith("Z_") ? 1007 : undefined
}
