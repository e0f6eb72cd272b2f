/**
 * Answers that clients have not read yet, as bytes that wait in their sockets. They are taken before an answer is written,
 * and given back when the kernel has it. What does not fit waits, and its client is not read meanwhile.
 *
 * A client may hold as much as is left for the others. The more clients hoard, the less each of them has, and a client that
 * reads finds room. A little is free. While more than a quarter is taken, clients that read nothing for a while are cut,
 * the one that holds most first.
 */
import type { Socket } from "node:net"
import { ByteBudget } from "../common/ByteBudget.js"
import { CALLER } from "../domain/Limits.js"

/** What small answers need, whatever others hold. */
const FREE_BYTES = 64 * 1024
/** Room for a page of a List before it is made: its largest, and what stands around it. */
export const PAGE_BYTES = 4 * 1024 * 1024
const SWEEP_MS = 1000

export interface Reader {
  /** how much the kernel has taken for it so far */
  readonly passed: () => number
  readonly cut: () => void
}

/** What the kernel has taken of a socket so far, a part of one write too: Node tells of whole writes alone. */
export const passing = (socket: Socket): (() => number) => {
  const { _handle: handle } = socket as unknown as {
    readonly _handle?: { readonly bytesWritten?: number; readonly writeQueueSize?: number }
  }
  return () => (handle?.bytesWritten ?? 0) - (handle?.writeQueueSize ?? 0)
}

interface Waiting {
  readonly bytes: number
  readonly then: () => void
}

export class Unread {
  readonly budget: ByteBudget
  private readonly clients = new Set<UnreadOf>()
  /** of these, those that wait for room */
  private readonly waiting = new Set<UnreadOf>()
  private sweeping: NodeJS.Timeout | undefined

  constructor(
    maxBytes: number,
    private readonly stallMs: number = CALLER.UNREAD_STALL_MS
  ) {
    this.budget = new ByteBudget(maxBytes)
  }

  /** The account of one client, until it is ended. */
  of(reader: Reader, maxBytes: number): UnreadOf {
    const client = new UnreadOf(this.budget, reader, maxBytes, this.waiting)
    this.clients.add(client)
    client.onEnd = () => this.forget(client)
    this.sweeping ??= setInterval(() => this.sweep(), SWEEP_MS).unref()
    return client
  }

  private forget(client: UnreadOf): void {
    this.clients.delete(client)
    if (this.clients.size > 0) return
    clearInterval(this.sweeping)
    this.sweeping = undefined
  }

  private sweep(): void {
    const now = performance.now()
    let worst: UnreadOf | undefined
    for (const client of this.clients) {
      const stalled = client.stalledFor(now) > this.stallMs
      if (stalled && client.taken > (worst?.taken ?? 0)) worst = client
    }
    if (this.budget.used > this.budget.maxBytes / 4) worst?.reader.cut()
  }
}

export class UnreadOf {
  taken = 0
  onEnd: () => void = () => {}
  private held = 0
  private gave = 0
  private seen = { gave: 0, passed: 0, at: performance.now() }
  private ended = false
  /** answers that are there go before work that would make more of them */
  private readonly answers: Array<Waiting> = []
  private readonly works: Array<Waiting> = []

  constructor(
    private readonly all: ByteBudget,
    readonly reader: Reader,
    private readonly maxBytes: number,
    private readonly waiting: Set<UnreadOf>
  ) {}

  /** Whether nothing more is to be read from it. */
  get full(): boolean {
    return this.answers.length > 0
  }

  /** Whether it has read enough to be read from again. */
  get low(): boolean {
    return !this.full && this.taken <= this.maxBytes / 4
  }

  /** Takes room for an answer now, or not at all. */
  take(bytes: number): boolean {
    if (this.ended) return true
    const more = this.more(bytes)
    if (more > 0 && (this.answers.length > 0 || !this.fits(more))) return false
    this.add(bytes)
    return true
  }

  /** Calls back when there is room for an answer, which is taken then; what it answers with forgets it. */
  whenRoom(bytes: number, then: () => void): () => void {
    return this.enter(this.answers, { bytes, then })
  }

  /** The same, for work whose answer is large. */
  whenRoomFor(bytes: number, then: () => void): () => void {
    return this.enter(this.works, { bytes, then })
  }

  give(bytes: number): void {
    if (this.ended) return
    this.held -= bytes
    this.gave += bytes
    const wanted = Math.max(0, this.held - FREE_BYTES)
    if (wanted === this.taken) return
    this.all.give(this.taken - wanted)
    this.taken = wanted
    for (const client of this.waiting) client.settle()
  }

  /** Clients that waited and have room now go on. */
  settle(): void {
    while (this.next(this.answers));
    while (this.answers.length === 0 && this.next(this.works));
    if (!this.full && this.works.length === 0) this.waiting.delete(this)
  }

  /** How long it has taken nothing of what waits for it. */
  stalledFor(now: number): number {
    const passed = this.reader.passed()
    const moved = this.gave !== this.seen.gave || passed !== this.seen.passed || this.taken === 0
    this.seen = { gave: this.gave, passed, at: moved ? now : this.seen.at }
    return now - this.seen.at
  }

  /** The client has gone: all it held is given back, and none of its answers waits. */
  end(): void {
    if (this.ended) return
    this.ended = true
    const waiting = [...this.answers, ...this.works]
    this.answers.length = this.works.length = 0
    this.waiting.delete(this)
    this.onEnd()
    this.all.give(this.taken)
    this.held = this.taken = 0
    for (const { then } of waiting) then()
    for (const client of this.waiting) client.settle()
  }

  private enter(line: Array<Waiting>, waiting: Waiting): () => void {
    if (this.ended) {
      waiting.then()
      return () => {}
    }
    line.push(waiting)
    this.waiting.add(this)
    this.settle()
    return () => {
      const at = line.indexOf(waiting)
      if (at >= 0) line.splice(at, 1)
      this.settle()
    }
  }

  private next(line: Array<Waiting>): boolean {
    const [first] = line
    if (first === undefined || !this.fits(this.more(first.bytes))) return false
    line.shift()
    this.add(first.bytes)
    first.then()
    return true
  }

  private more(bytes: number): number {
    return Math.max(0, this.held + bytes - FREE_BYTES) - this.taken
  }

  private fits(more: number): boolean {
    const left = this.all.maxBytes - this.all.used - more
    return more <= 0 || (left >= 0 && (this.taken === 0 || this.taken + more <= Math.min(this.maxBytes, left)))
  }

  private add(bytes: number): void {
    const more = Math.max(0, this.more(bytes))
    if (!this.all.take(more)) throw new Error("room was looked for before")
    this.taken += more
    this.held += bytes
  }
}
