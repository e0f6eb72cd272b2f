/**
 * Messages on their way to one socket: bounded by count and bytes, in order, each told its own outcome.
 *
 * The socket is handed the next message when it has nothing unsent. A message that the socket has taken cannot be taken
 * back. Where the socket is cut in the middle of one, nothing tells it from those that left whole. So a slow peer fills
 * this queue, and the queue says BufferFull. When the socket is cut, the one message in flight is the only one of which a
 * part may be out.
 */
import * as Effect from "effect/Effect"
import type { ByteBudget } from "../../common/ByteBudget.js"
import { BufferFull, ConnectionNotOpen } from "../../domain/Errors.js"
import { CALLER } from "../../domain/Limits.js"

/** More than a frame's header, mask included. */
const HEADER_BYTES = 16

/** All that the queue needs of a socket. */
export interface SendTarget {
  /** Hands one message over; `done` is called later, with an error if it did not leave. */
  readonly send: (data: Uint8Array, binary: boolean, done: (error?: Error | null) => void) => void
  /** Bytes it has not yet given to the kernel. */
  readonly bufferedAmount: () => number
  /**
   * So many bytes leave as one, or none of them can be read: a TLS record. 0 where a socket may be cut after any byte. Small
   * messages are handed over together up to here, since each turn of TLS takes a turn of the event loop.
   */
  readonly indivisibleBytes: number
  /** Whether the socket was cut: of what it had not given to the kernel by then, nothing leaves any more. */
  readonly isCut: () => boolean
  /** Asked right before each message. */
  readonly mayAct: () => boolean
}

/** One message, and the callback that is told of it. */
export interface Outgoing {
  readonly data: Uint8Array
  readonly binary: boolean
  /** Called when it goes to the socket: from now on it cannot be taken back. */
  readonly handed?: (() => void) | undefined
  /** Called once: undefined when the socket took it, else why it never will. */
  readonly done: (failure: ConnectionNotOpen | undefined) => void
}

export class SendQueue {
  private readonly waiting = new Set<Outgoing>()
  /** messages with the socket, which has not told yet what became of them */
  private readonly handed = new Set<Outgoing>()
  private bytes = 0
  private ended = false

  constructor(
    private readonly connectionId: string,
    private readonly target: SendTarget,
    /** of the connection: what is kept here is taken from it until it has left */
    private readonly budget: ByteBudget
  ) {}

  /**
   * Done once the socket took the message. Fails with BufferFull at once when the queue is full; a message larger than all
   * of it is taken when the queue is empty. Fails with ConnectionNotOpen when the socket ended, or this instance may no
   * longer act, before all of it left. Interruption takes a waiting message back.
   */
  send(data: Uint8Array, binary: boolean, handed?: () => void): Effect.Effect<void, BufferFull | ConnectionNotOpen> {
    return Effect.async<void, BufferFull | ConnectionNotOpen>((resume) => {
      const message: Outgoing = {
        data,
        binary,
        handed,
        done: (failure) => resume(failure === undefined ? Effect.void : Effect.fail(failure))
      }
      const refused = this.put(message)
      if (refused !== undefined) return resume(Effect.fail(refused))
      return Effect.sync(() => this.takeBack(message))
    })
  }

  /** Takes a message, and tells it later what became of it; or says at once why not. */
  put(message: Outgoing): BufferFull | ConnectionNotOpen | undefined {
    if (this.ended) return this.notOpen("closed")
    const { length } = message.data
    const { bytes, waiting } = this
    const full = waiting.size >= CALLER.QUEUE_MESSAGES || (waiting.size > 0 && bytes + length > CALLER.QUEUE_BYTES)
    if (full || !this.budget.take(length)) return new BufferFull({ what: "the send queue" })
    waiting.add(message)
    this.bytes += length
    this.pump()
    return undefined
  }

  /** A message that still waits is dropped, and told nothing; false: the socket has it, or it is done. */
  takeBack(message: Outgoing): boolean {
    if (!this.unqueue(message)) return false
    this.budget.give(message.data.length)
    return true
  }

  /** The socket is gone, or is being cut: messages that wait fail, and so do later ones. */
  end(): void {
    this.ended = true
    for (const message of this.waiting) {
      this.takeBack(message)
      message.done(this.notOpen("closed"))
    }
  }

  /** The socket has told its end: it tells no more of the messages that are left, so they fail. */
  closed(): void {
    this.end()
    for (const message of this.handed) this.settle(message, false)
  }

  private pump(): void {
    const { target } = this
    for (const message of this.waiting) {
      if (this.handed.size >= CALLER.QUEUE_MESSAGES || !this.hasRoom(message.data.length)) return
      this.unqueue(message)
      if (!target.mayAct()) {
        this.budget.give(message.data.length)
        message.done(this.notOpen("without a lease"))
        continue
      }
      this.handed.add(message)
      message.handed?.()
      let taken = false
      target.send(message.data, message.binary, (error) => {
        // Node reports success for a write that was ended by the cut of its own socket.
        this.settle(message, !error && (taken || !target.isCut()))
        this.pump()
      })
      // A message that is given to the kernel at once is out, whatever happens to the socket before that is told. Of an
      // empty message that is being deflated nothing can be seen, so it does not count.
      taken = message.data.length > 0 && target.bufferedAmount() === 0
    }
  }
  private hasRoom(bytes: number): boolean {
    const unsent = this.target.bufferedAmount()
    return unsent === 0 || unsent + bytes + HEADER_BYTES <= this.target.indivisibleBytes
  }
  private settle(message: Outgoing, left: boolean): void {
    if (!this.handed.delete(message)) return
    this.budget.give(message.data.length)
    message.done(left ? undefined : this.notOpen("closed"))
  }
  private unqueue(message: Outgoing): boolean {
    if (!this.waiting.delete(message)) return false
    this.bytes -= message.data.length
    return true
  }
  private notOpen(status: string): ConnectionNotOpen {
    return new ConnectionNotOpen({ id: this.connectionId, status })
  }
}
