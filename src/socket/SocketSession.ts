/**
 * One session over one wire: login, then frames straight to the caller, with the clocks beside them.
 *
 * An object without a fiber: what happens on the wire is handled where it happens.
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import type { ByteBudget } from "../common/ByteBudget.js"
import { OneShot } from "../common/OneShot.js"
import type { BufferFull, ConnectionNotOpen } from "../domain/Errors.js"
import type { ResolvedKeepAlive } from "../domain/Spec.js"
import * as Handshake from "./dial/Handshake.js"
import type { OpeningRequest } from "./dial/OpeningRequest.js"
import { toDialCause } from "./wire/DialFailures.js"
import { KeepAlive, type KeepAliveTarget } from "./wire/KeepAlive.js"
import { SendQueue, type SendTarget } from "./wire/SendQueue.js"
import type { DialCause, Session, SessionEnd, SessionOptions } from "./wire/Session.js"
import type { Timers } from "./wire/Timers.js"
import type { Wire, WireHandlers } from "./wire/Wire.js"

const SILENT = { dead: "the peer sent nothing for too long", idle: "the feed sent nothing for too long" } as const

export class SocketSession implements Session, WireHandlers {
  private readonly login = new OneShot<void, DialCause>()
  private readonly end = new OneShot<SessionEnd>()
  private readonly connectionId: string
  private readonly budget: ByteBudget
  private readonly pass: (data: Buffer, binary: boolean) => void
  private readonly mayAct: () => boolean
  private readonly tooExpensive: (ms: number) => boolean
  private readonly clocks: ResolvedKeepAlive
  private readonly leaveCode: number | undefined
  private readonly ping: Redacted.Redacted<Buffer> | undefined
  private readonly conceal: (text: string) => string
  /** until the socket is open */
  private offered: OpeningRequest["subprotocols"]
  /** the one that the peer chose, as it was offered */
  subprotocol = ""
  private wire: Wire | undefined
  private queue: SendQueue | undefined
  private keepAlive: KeepAlive | undefined
  /** by the session's user, and by the wire */
  private isPaused = false
  private isHeldUp = false
  /** an application-level ping has not left yet */
  private pinging = false
  private silent: "dead" | "idle" | undefined
  /** until the steps are done; with it go the secrets that fill them */
  private handshake: Handshake.Handshake | undefined

  constructor(
    { budget, connectionId, mayAct, onFrame, onTooExpensive, spec }: SessionOptions,
    opening: OpeningRequest,
    private readonly timers: Timers
  ) {
    this.connectionId = connectionId
    this.budget = budget
    this.pass = onFrame
    this.mayAct = mayAct
    this.tooExpensive = onTooExpensive
    this.clocks = spec.keepAlive
    this.leaveCode = spec.reconnect.leaveCode
    this.ping = opening.ping
    this.conceal = opening.conceal
    this.offered = opening.subprotocols
    const target: Handshake.HandshakeTarget = {
      send: (data, binary) => this.queue!.put({ data, binary, done: (failure) => this.sentAtLogin(failure) })?.message,
      pass: onFrame,
      done: (failure) => this.stepsDone(failure),
      mayAct,
      faulted: (defect) => this.wire?.faulted(defect)
    }
    this.handshake = Handshake.make(spec.handshake, spec, opening.value, target, timers)
  }

  /** Done when the steps are; fails with kind `handshake`. */
  get loggedIn(): Effect.Effect<void, DialCause> {
    return this.login.wait
  }
  get ended(): Effect.Effect<SessionEnd> {
    return this.end.wait
  }
  isOpen(): boolean {
    return this.wire !== undefined
  }

  // ------------------------------------------------------------ for the caller

  send(data: Uint8Array, binary: boolean, handed?: () => void): Effect.Effect<void, BufferFull | ConnectionNotOpen> {
    return this.queue!.send(data, binary, handed)
  }
  pause(): void {
    this.isPaused = true
    this.readingChanged()
    this.wire?.pause()
  }
  resume(): void {
    this.isPaused = false
    this.readingChanged()
    this.wire?.resume()
  }
  close(code: number, reason: string): void {
    this.wire?.close(code, reason)
  }
  terminate(): void {
    this.keepAlive?.stop()
    this.handshake?.stop()
    this.queue?.end()
    this.wire?.terminate()
  }

  // ------------------------------------------------------------ what the wire tells

  onOpen(wire: Wire): void {
    this.wire = wire
    this.subprotocol = this.offered.find(({ value }) => Redacted.value(value) === wire.subprotocol)?.shown ?? ""
    this.offered = []
    const target: SendTarget = {
      send: (data, binary, done) => wire.send(data, binary, done),
      bufferedAmount: () => wire.bufferedAmount(),
      indivisibleBytes: wire.indivisibleBytes,
      isCut: () => wire.isCut(),
      mayAct: this.mayAct
    }
    this.queue = new SendQueue(this.connectionId, target, this.budget)
    this.handshake?.start()
  }
  onFrame(data: Buffer, binary: boolean): void {
    this.keepAlive?.dataFrame()
    if (this.handshake === undefined) this.pass(data, binary)
    else this.handshake.frame(data, binary)
  }
  onControl(): void {
    this.keepAlive?.controlFrame()
  }
  onHeldUp(heldUp: boolean): void {
    this.isHeldUp = heldUp
    this.readingChanged()
  }
  onTooExpensive(ms: number): boolean {
    return this.tooExpensive(ms)
  }
  onEnd(told: SessionEnd): void {
    const end = { ...told, reason: this.conceal(told.reason) }
    // Even when stopping one of these fails, the waiters for the end hear of it.
    try {
      this.keepAlive?.stop()
      this.handshake?.stop()
      this.queue?.closed()
    } finally {
      this.login.done(Exit.fail(endedAtLogin(end)))
      const { silent } = this
      this.end.done(Exit.succeed(silent === undefined ? end : { ...end, cause: silent, reason: SILENT[silent] }))
    }
  }

  /** A login that lacks one of its messages has failed. */
  private sentAtLogin(failure: ConnectionNotOpen | undefined): void {
    if (failure !== undefined) this.login.done(Exit.fail(toDialCause("handshake", failure.message)))
  }
  /** While a socket is not read, its silence does not count. */
  private readingChanged(): void {
    if (this.isPaused || this.isHeldUp) this.keepAlive?.paused()
    else this.keepAlive?.resumed()
  }
  private stepsDone(failure: string | undefined): void {
    this.handshake = undefined
    if (failure === undefined) {
      this.keepAlive = new KeepAlive(this.clocks, this.clocked(this.wire!), this.timers)
      this.readingChanged()
    }
    this.login.done(failure === undefined ? Exit.void : Exit.fail(toDialCause("handshake", failure)))
  }
  /** The one before may be held up behind what the peer does not read: then this one is left out. */
  private sendPing(): void {
    if (this.ping === undefined || this.pinging) return
    this.pinging = true
    const done = () => {
      this.pinging = false
    }
    if (
      this.queue!.put({ data: Redacted.value(this.ping), binary: this.clocks.ping?.binary === true, done }) !==
      undefined
    )
      done()
  }
  private clocked(wire: Wire): KeepAliveTarget {
    return {
      ping: () => wire.ping(),
      bytesRead: () => wire.bytesRead(),
      sendPing: () => this.sendPing(),
      silent: (cause) => {
        this.silent = cause
        if (cause === "dead") this.terminate()
        else wire.close(this.leaveCode ?? 1000, SILENT.idle)
      },
      mayAct: this.mayAct,
      faulted: (defect) => wire.faulted(defect)
    }
  }
}

const endedAtLogin = ({ cause, closeCode, defect, reason }: SessionEnd): DialCause => {
  const why = reason === "" ? "" : `: ${reason}`
  const told = cause === "closed" ? `the peer closed with ${closeCode}${why}` : reason
  return toDialCause("handshake", told, { closeCode, ...(defect === undefined ? {} : { defect }) })
}
