/**
 * What one WebSocket client has on its way to the door. That is the bytes of a message that is still incomplete, and of
 * requests that still wait for their answer. While they do not fit its budget, and that of all clients above it, nothing
 * more is read from its socket.
 *
 * A little is free, so that a client that asks for little goes on whatever others hold.
 */
import type { Socket } from "node:net"
import type { WebSocket } from "ws"
import { ByteBudget } from "../../common/ByteBudget.js"

/** As much as a socket gives in one piece, and what small requests and acknowledgements need. */
const FREE_BYTES = 64 * 1024
/** How often a client that waits for room looks again. */
const LOOK_MS = 25
/** After so many looks it is pinged. */
const PING_LOOKS = 40
/** How long half a message may wait for room that others hold: it holds room itself. */
const STALL_MS = 30_000

export interface IntakeLimits {
  /** bytes of one client */
  readonly bytes: number
  /** bytes of all clients of these doors together */
  readonly all: ByteBudget
  /** requests of one client */
  readonly requests: number
}

export class Intake {
  private readonly budget: ByteBudget
  private readonly requests = new Map<string, number>()
  private arriving = 0
  private piece = 0
  private held = 0
  private taken = 0
  private waiting: NodeJS.Timeout | undefined
  private ended = false

  constructor(
    private readonly ws: WebSocket,
    private readonly limits: IntakeLimits,
    private readonly resume: () => void
  ) {
    this.budget = new ByteBudget(limits.bytes, limits.all)
    const { _socket: socket } = ws as unknown as { readonly _socket: Socket }
    socket.prependListener("data", (chunk: Buffer) => this.arrived(chunk.length))
    ws.once("close", () => this.end())
  }

  /** Whether it waits for room: then nothing is read. */
  get full(): boolean {
    return this.waiting !== undefined
  }

  /** A message is whole; its bytes go on as those of its requests. */
  whole(bytes: number): void {
    // bytes beyond the message are of the piece that ended it
    this.arriving = Math.min(Math.max(0, this.arriving - bytes), this.piece)
  }

  /** A request of so many bytes is begun; false: there are too many. Of a client that has gone nothing is taken. */
  begin(id: string, bytes: number): boolean {
    if (this.ended) return true
    if (this.requests.size >= this.limits.requests) return false
    this.requests.set(id, bytes)
    this.held += bytes
    this.settle()
    return true
  }

  /** A message was taken apart: what of it was no request is given back. */
  handled(): void {
    this.settle()
  }

  /** Whether the request of this id has not been answered. */
  isRunning(id: string): boolean {
    return this.requests.has(id)
  }

  answered(id: string): void {
    this.held -= this.requests.get(id) ?? 0
    this.requests.delete(id)
    this.settle()
  }

  private arrived(bytes: number): void {
    this.arriving += bytes
    this.piece = bytes
    this.settle()
  }

  /** Takes what is more than before, or gives back what is less. */
  private settle(): void {
    if (this.ended) return
    const wanted = Math.max(0, this.arriving + this.held - FREE_BYTES)
    if (wanted <= this.taken) this.budget.give(this.taken - wanted)
    else if (!this.budget.take(wanted - this.taken)) return this.wait()
    this.taken = wanted
    if (this.waiting === undefined) return
    clearInterval(this.waiting)
    this.waiting = undefined
    this.resume()
  }

  private wait(): void {
    if (this.waiting !== undefined || this.ws.readyState !== this.ws.OPEN) return
    this.ws.pause()
    const since = performance.now()
    let looks = 0
    this.waiting = setInterval(() => {
      // a door that has stopped reading does not see that a client has gone; a write shows it
      if (++looks % PING_LOOKS === 0) this.ws.ping()
      const own = this.held > this.limits.bytes / 2
      if (!own && performance.now() - since > STALL_MS) this.ws.close(1013, "too many requests are on their way")
      else this.settle()
    }, LOOK_MS)
  }

  private end(): void {
    this.ended = true
    clearInterval(this.waiting)
    this.waiting = undefined
    this.budget.give(this.taken)
    this.arriving = this.held = this.taken = 0
    this.requests.clear()
  }
}
