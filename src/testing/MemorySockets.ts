/**
 * The servers of the world, in memory: each dial becomes a `MemorySocket` that a test can send through, read and close.
 * Nothing here takes real time, so a test clock drives it all.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientWrapper, type DialTarget } from "../socket/ClientWrapper.js"
import { toDialCause } from "../socket/wire/DialFailures.js"
import type { SessionEnd } from "../socket/wire/Session.js"
import type { Wire, WireHandlers } from "../socket/wire/Wire.js"
import type { SimulatedProcess } from "./SimulatedProcess.js"
import type { TestRuntime } from "./TestRuntime.js"

/** How the servers in memory behave; all may be left out. */
export interface MemorySocketsOptions {
  /** milliseconds from the dial to the answer, asked for each dial; default 0 */
  readonly dialMs?: () => number
  /** whether this dial comes to nothing; default never */
  readonly refuses?: (target: DialTarget) => boolean
  /** Called when a socket has opened. */
  readonly onOpen?: (socket: MemorySocket) => void
  /** Called when a socket that was open has closed, by either end. */
  readonly onClosed?: (socket: MemorySocket) => void
}

/** The server's end of one socket. */
export class MemorySocket {
  /** what the client sent */
  readonly received: Array<Buffer> = []
  /** milliseconds since 1970 */
  openedAt = 0
  /** milliseconds since 1970; undefined: it is not closed */
  closedAt: number | undefined
  private paused = false
  /** what comes before the client has taken the socket waits, as in a kernel's buffer, for a turn of its own */
  private taken = false
  private ended = false
  private readonly waiting: Array<readonly [data: Buffer, binary: boolean]> = []

  constructor(
    /** number of the instance that dialled */
    readonly instance: number,
    readonly target: DialTarget,
    private readonly process: SimulatedProcess,
    private readonly ground: TestRuntime,
    private readonly handlers: WireHandlers,
    private readonly options: MemorySocketsOptions
  ) {}

  /** Between opening and closing. */
  get isOpen(): boolean {
    return this.openedAt > 0 && this.closedAt === undefined
  }

  /** Messages that the client has not read, since it does not read for now (its buffer is full). */
  get unread(): number {
    return this.waiting.length
  }

  /** The server sends a message. */
  send(data: string | Buffer): void {
    if (!this.isOpen) return
    const message = [Buffer.from(data as string), typeof data !== "string"] as const
    this.process.post(() => {
      if (this.paused || !this.taken) this.waiting.push(message)
      else this.deliver(...message)
    })
  }

  /** The server closes; 1006 cuts. */
  close(code = 1000, reason = ""): void {
    this.finish({ closeCode: code, reason, cause: "closed" })
  }

  /** The kernel's part: it opens, and closes, whatever the process does. */
  opened(): void {
    this.openedAt = this.ground.clock.unsafeCurrentTimeMillis()
    this.options.onOpen?.(this)
  }

  /** The client takes it. */
  take(): void {
    this.handlers.onOpen(this.wire)
    this.ground.after(0, () =>
      this.process.post(() => {
        this.taken = true
        this.flow()
      })
    )
  }

  /** The socket ends, by either end; what comes after the first time changes nothing. */
  finish(end: SessionEnd): void {
    if (this.closedAt !== undefined) return
    this.closedAt = this.ground.clock.unsafeCurrentTimeMillis()
    if (this.openedAt === 0) return
    this.options.onClosed?.(this)
    this.ground.after(0, () => this.process.post(() => this.tell(end)))
  }

  private flow(): void {
    while (this.taken && !this.paused && this.waiting.length > 0) this.deliver(...this.waiting.shift()!)
  }

  private deliver(data: Buffer, binary: boolean): void {
    if (!this.ended && this.closedAt === undefined) this.handlers.onFrame(data, binary)
  }

  private tell(end: SessionEnd): void {
    if (this.ended) return
    this.ended = true
    this.waiting.length = 0
    this.handlers.onEnd(end)
  }

  /** What the client holds of it. */
  readonly wire: Wire = {
    subprotocol: "",
    send: (data, _binary, done) => {
      if (this.isOpen) this.received.push(Buffer.from(data))
      done?.(this.isOpen ? undefined : new Error("the socket is closed"))
    },
    ping: () => void this.ground.after(0, () => this.process.post(() => this.isOpen && this.handlers.onControl())),
    bufferedAmount: () => 0,
    bytesRead: () => 0,
    indivisibleBytes: 0,
    isCut: () => !this.isOpen,
    pause: () => {
      this.paused = true
    },
    resume: () => {
      this.paused = false
      this.flow()
    },
    close: (closeCode, reason) => this.finish({ closeCode, reason, cause: "closed" }),
    terminate: () => this.finish({ closeCode: 1006, reason: "the socket was cut", cause: "closed" }),
    faulted: () => this.finish({ closeCode: 1011, reason: "handling it threw", cause: "fault" })
  }
}

export class MemorySockets {
  readonly open = new Set<MemorySocket>()
  /** those being dialled too */
  readonly dialled = new Set<MemorySocket>()

  constructor(
    private readonly ground: TestRuntime,
    private readonly options: MemorySocketsOptions = {}
  ) {}

  /** How the instance of this number dials, while its process lives. */
  layer(instance: number, process: SimulatedProcess): Layer.Layer<ClientWrapper> {
    return Layer.succeed(ClientWrapper, {
      unfinished: { bytes: () => 0, shareWith: () => {} },
      refuseHost: () => undefined,
      resolve: () => Effect.succeed({ addresses: [], spentMs: 0 }),
      dial: (target, _route, handlers) => this.dial(instance, process, target, handlers)
    })
  }

  /** The kernel closes what a dead process leaves. */
  died(instance: number): void {
    for (const socket of Array.from(this.dialled)) {
      if (socket.instance !== instance) continue
      socket.finish({ closeCode: 1006, reason: "the process died", cause: "closed" })
      this.dialled.delete(socket)
    }
  }

  private dial(instance: number, process: SimulatedProcess, target: DialTarget, handlers: WireHandlers) {
    const { dialMs = () => 0, refuses = () => false } = this.options
    return Effect.async<void, ReturnType<typeof toDialCause>>((resume) => {
      const socket = new MemorySocket(instance, target, process, this.ground, handlers, {
        ...this.options,
        onClosed: (closed) => {
          this.open.delete(closed)
          this.dialled.delete(closed)
          this.options.onClosed?.(closed)
        }
      })
      const give = (reason: string) => {
        socket.finish({ closeCode: 1006, reason, cause: "closed" })
        this.dialled.delete(socket)
      }
      this.dialled.add(socket)
      const answer = this.ground.after(dialMs(), () => {
        late()
        if (socket.closedAt !== undefined) return
        if (refuses(target)) {
          give("refused")
          return resume(Effect.fail(toDialCause("refused", "told to refuse")))
        }
        this.open.add(socket)
        socket.opened()
        process.post(() => {
          if (socket.closedAt !== undefined) return resume(Effect.fail(toDialCause("refused", "closed at once")))
          socket.take()
          resume(Effect.void)
        })
      })
      const late = this.ground.after(target.timeoutMs, () => {
        if (socket.openedAt > 0) return
        answer()
        give("timed out")
        resume(Effect.fail(toDialCause("timeout", `no answer within ${target.timeoutMs} ms`)))
      })
      return Effect.sync(() => {
        answer()
        late()
        give("interrupted")
      })
    })
  }
}
