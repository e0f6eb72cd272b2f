/**
 * One `ws` socket, from its dial on: what it can do, and what is told of it.
 *
 * There are thousands of these for a long time, so each is one object with its methods on the prototype.
 */
import type { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import { WebSocket } from "ws"
import { describe, guard, type Guarded, later, listenTo, listenToMessages, soon } from "../../common/CallbackGuard.js"
import { FEED } from "../../domain/Limits.js"
import { dialFaulted, fromError, parseRetryAfter, toDialCause } from "./DialFailures.js"
import { type Ending, isForced } from "./Ending.js"
import type { FeedSocket } from "./FeedSocket.js"
import { Pongs } from "./Pongs.js"
import type { ReadFairness, Reading } from "./ReadFairness.js"
import { ofSocket, oneLine } from "./SocketErrors.js"
import type { Charged, TurnCost } from "./TurnCost.js"
import type { Keeping, Unfinished } from "./Unfinished.js"
import type { Dialler, Wire, WireHandlers } from "./Wire.js"

/** How long the peer has to answer a close frame, and to read what is under way when it has ended its side. */
export const CLOSE_TIMEOUT_MS = 1000

/** What the sockets of an instance share: none costs the others more than its part. */
export interface Shared {
  readonly turns: ReadFairness
  readonly costs: TurnCost
  readonly unfinished: Unfinished
}

/** Tells the handlers, and the dialler first, what happens on a socket that was just made. */
export const listen = (ws: FeedSocket, handlers: WireHandlers, dialler: Dialler, shared: Shared): void => {
  const wire = new WsWire(ws, handlers, dialler, shared)
  listenTo(ws, "upgrade", wire, wire.upgraded)
  listenTo(ws, "open", wire, wire.opened)
  listenToMessages(ws, wire)
  listenTo(ws, "ping", wire, wire.pinged)
  listenTo(ws, "pong", wire, wire.control)
  listenTo(ws, "unexpected-response", wire, wire.answered)
  listenTo(ws, "error", wire, wire.failed)
  listenTo(ws, "close", wire, wire.closed)
}

/** The plain text of one TLS record, at most (RFC 8446, 5.1). A part of a record cannot be read. */
const TLS_RECORD_BYTES = 16 * 1024

/** Why a socket is not read, each by itself; the turn of the event loop has a flag of its own. */
const PAUSED = 1
const EXPENSIVE = 2
const FULL = 4

class WsWire implements Wire, Reading, Charged, Keeping {
  /** the code that this side sent, and why: its own close, or what ws did on bad input */
  private ours: Ending | undefined
  /** what told of the end of a socket that has no close code */
  private endedBy: string | undefined
  private lingering: (() => void) | undefined
  private socket: Socket | undefined
  private discard = false
  /** a ping has not left yet: it waits for what the peer does not read, and so would each one after it */
  private pinging = false
  private pongs: Pongs | undefined
  private inflates = false
  /** of the reasons above, those that hold now */
  private holds = 0
  /** by the turn of the event loop, for a while */
  held = false
  beyond = 0
  turn = 0
  unseen = 0
  step = 0
  spent = 0
  spentIn = 0
  keeps = 0

  constructor(
    private readonly ws: FeedSocket,
    private readonly handlers: WireHandlers,
    // Let go once the socket is open: else it would keep the fibers of the dial for as long as the socket lives.
    private dialler: Dialler | undefined,
    private readonly shared: Shared
  ) {}

  get subprotocol(): string {
    return this.ws.protocol
  }
  send(data: Uint8Array, binary: boolean, done?: (error?: Error | null) => void): void {
    this.ws.send(data, { binary }, done === undefined ? ignore : guard(this as Guarded, done))
  }
  ping(): void {
    if (this.pinging) return
    this.pinging = true
    this.ws.ping(undefined, undefined, guard(this, this.pingLeft))
  }
  private pingLeft(): void {
    this.pinging = false
  }
  bufferedAmount(): number {
    return this.ws.bufferedAmount
  }
  bytesRead(): number {
    return this.socket?.bytesRead ?? 0
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
    this.hold(PAUSED)
  }
  resume(): void {
    this.letGo(PAUSED)
  }
  pauseReading(): void {
    this.ws.pause()
  }
  resumeReading(): void {
    if (this.holds === 0) this.ws.resume()
  }
  close(code: number, reason: string): void {
    if (this.ws.readyState !== WebSocket.OPEN) return
    this.ours = { code, reason, cause: "closed" }
    if ((this.holds & PAUSED) !== 0) this.discard = true
    this.ws.close(code, reason)
    // From here on nothing holds the socket up: the peer's answer is behind the frames that still come.
    this.holds = 0
    this.ws.resume()
  }
  /** Closes it without reading on: what it sends is the reason. */
  private quit(ours: Ending): void {
    if (this.ws.readyState !== WebSocket.OPEN) return
    this.ours = ours
    this.discard = true
    this.ws.close(ours.code, ours.reason)
    later(QUIT_MS, this, this.cut)
  }
  terminate(reason = "this instance cut the socket"): void {
    this.discard = true
    this.endedBy ??= reason
    // TLS tells only in the next turn of what it has given to the kernel in this one.
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
    // over a close that was under way
    if (!isForced(this.ours)) {
      this.ours = { code: 1011, reason: `${defect.name} while the connection was handled`, cause: "fault", defect }
    }
  }

  // ------------------------------------------------------------ its part, and no more

  private hold(reason: number): void {
    this.holds |= reason
    this.ws.pause()
  }
  private letGo(reason: number): void {
    this.holds &= ~reason
    if (this.holds === 0 && !this.held) this.ws.resume()
  }
  /** This side chose not to read, so the silence of the socket does not count. */
  private holdUp(reason: number): void {
    this.hold(reason)
    this.handlers.onHeldUp(true)
  }
  private goOn(reason: number): void {
    if (this.ws.readyState !== WebSocket.OPEN) return
    this.letGo(reason)
    if ((this.holds & ~PAUSED) === 0) this.handlers.onHeldUp(false)
  }
  tooExpensive(ms: number): void {
    if (this.handlers.onTooExpensive(ms)) return this.quit({ code: 1008, reason: TOO_EXPENSIVE, cause: "expensive" })
    if ((this.holds & EXPENSIVE) !== 0) return
    this.holdUp(EXPENSIVE)
    later(FEED.TOO_EXPENSIVE_PAUSE_MS, this, this.rested)
  }
  private rested(): void {
    this.goOn(EXPENSIVE)
  }
  /** A read was taken in by ws. */
  private read(): void {
    this.shared.unfinished.read(this, this.inflates)
  }
  measure(): number {
    return this.ws.unfinishedBytes()
  }
  stopReading(): void {
    this.holdUp(FULL)
  }
  goOnReading(): void {
    this.goOn(FULL)
  }
  giveUp(): void {
    this.quit({ code: 1013, reason: TOO_MUCH, cause: "full" })
  }

  // ------------------------------------------------------------ what ws tells

  upgraded({ socket }: IncomingMessage): void {
    this.socket = socket
    listenTo(socket, "end", this, this.peerEnded)
    // ws does not report it.
    listenTo(socket, "error", this, this.broke)
  }
  private broke(error: Error): void {
    this.endedBy ??= ofSocket(error)
  }
  /** ws then ends this side too, once all of it is out. A peer that does not read would keep the socket for ever. */
  private peerEnded(): void {
    this.endedBy ??= "the peer ended the connection without a close frame"
    if (this.dialler === undefined) this.lingering = later(CLOSE_TIMEOUT_MS, this, this.cut)
  }
  opened(): void {
    const dialler = this.dialler
    this.dialler = undefined
    this.inflates = this.ws.extensions !== ""
    // behind the listener of ws, so that what is left over is what is not yet whole
    if (this.socket !== undefined) listenTo(this.socket, "data", this, this.read)
    try {
      this.handlers.onOpen(this)
    } finally {
      dialler?.opened()
    }
  }
  message(data: Buffer, binary: boolean): void {
    if (this.discard) return
    const { costs, turns } = this.shared
    turns.frame(data.length, this)
    const began = costs.begins(data.length, this)
    this.handlers.onFrame(data, binary)
    if (began !== 0) costs.ends(began, this)
  }
  control(data: Buffer): void {
    this.shared.turns.frame(data.length, this)
    this.handlers.onControl()
  }
  pinged(data: Buffer): void {
    this.control(data)
    this.pongs ??= new Pongs(this.ws, this)
    this.pongs.answer(data)
  }
  /** An answer other than 101. */
  answered(_request: unknown, { headers, statusCode: status = 0 }: IncomingMessage): void {
    const redirect = status >= 300 && status < 400 ? ", and redirects are not followed" : ""
    this.dialler?.fail(
      toDialCause("http", `the server answered ${status}${redirect}`, {
        httpStatus: status,
        retryAfterMs: parseRetryAfter(headers["retry-after"], Date.now())
      })
    )
  }
  failed(error: Error): void {
    if (this.dialler !== undefined) return this.dialler.fail(fromError(error))
    const refusal = this.ws.refusal(error)
    if (refusal === undefined) this.endedBy ??= oneLine(error)
    else this.ours ??= { ...refusal, cause: "protocol" }
  }
  closed(code: number, reason: Buffer): void {
    this.lingering?.()
    this.shared.unfinished.gone(this)
    if (this.dialler !== undefined) return
    // ws says 1005 for a close frame without a code, and 1006 for none at all. Then only the frame of this side was on the
    // wire, if any.
    const theirs: Ending | undefined =
      code === 1005 || code === 1006 ? undefined : { code, reason: reason.toString(), cause: "closed" }
    const why = code === 1005 ? "the peer closed without a code" : (this.endedBy ?? "the socket was closed")
    const forced = isForced(this.ours) ? this.ours : undefined
    const end: Ending = forced ?? theirs ?? this.ours ?? { code: 1006, reason: why, cause: "closed" }
    const { code: closeCode, ...how } = end
    this.handlers.onEnd({ closeCode, ...how })
  }
}

const ignore = () => {}

/** How long a close frame may take to leave a socket that is no longer read. */
const QUIT_MS = 100
const TOO_EXPENSIVE = "its frames take too long to handle"
const TOO_MUCH = "messages that are not yet whole take too much memory"
/** What the peer is told of a fault. */
const FAULT = "internal error"
