/**
 * Messages on their way to one socket: bounded by count and bytes, in order, each told its own outcome.
 *
 * The socket gets a message only while it has little unsent, because what it has taken can neither be counted nor taken
 * back. So a slow peer fills this queue, and the queue says BufferFull.
 */
import * as Effect from "effect/Effect"
import { BufferFull, ConnectionNotOpen } from "../domain/Errors.js"

export const MAX_MESSAGES = 1024
export const MAX_BYTES = 4 * 1024 * 1024

/** The socket is handed messages while it has less than this unsent, and no more than as many again as may wait. */
export const SOCKET_HIGH_WATER = 1024 * 1024

/** All that the queue needs of a socket. */
export interface SendTarget {
  /** Hands one message over; `done` is called later, with an error if it did not leave. */
  readonly send: (data: Uint8Array, binary: boolean, done: (error?: Error | null) => void) => void
  /** Bytes it has not yet given to the kernel. */
  readonly bufferedAmount: () => number
  /** Asked right before each message. */
  readonly mayAct: () => boolean
}

interface Waiting {
  readonly data: Uint8Array
  readonly binary: boolean
  readonly resume: (result: Effect.Effect<void, ConnectionNotOpen>) => void
}

export class SendQueue {
  private readonly waiting = new Set<Waiting>()
  private bytes = 0
  private handed = 0
  private ended = false

  constructor(
    private readonly connectionId: string,
    private readonly target: SendTarget
  ) {}

  /**
   * Done once the socket took the message. Fails with BufferFull at once when the queue is full (a message larger than all of
   * it is taken when the queue is empty), with ConnectionNotOpen when the socket ended, or this instance may no longer
   * act, before it left. Interruption takes a waiting message back.
   */
  send(data: Uint8Array, binary: boolean): Effect.Effect<void, BufferFull | ConnectionNotOpen> {
    return Effect.async<void, BufferFull | ConnectionNotOpen>((resume) => {
      if (this.ended) return resume(this.notOpen("closed"))
      const { bytes, waiting } = this
      const full = waiting.size >= MAX_MESSAGES || (waiting.size > 0 && bytes + data.length > MAX_BYTES)
      if (full) return resume(Effect.fail(new BufferFull({ what: "the send queue" })))
      const message: Waiting = { data, binary, resume }
      waiting.add(message)
      this.bytes += data.length
      this.pump()
      return Effect.sync(() => this.take(message))
    })
  }

  /** The socket is gone: whoever waits fails, and so does whoever comes. */
  end(): void {
    this.ended = true
    for (const message of this.waiting) {
      this.take(message)
      message.resume(this.notOpen("closed"))
    }
  }

  private pump(): void {
    for (const message of this.waiting) {
      if (this.handed >= MAX_MESSAGES || this.target.bufferedAmount() >= SOCKET_HIGH_WATER) return
      this.take(message)
      if (!this.target.mayAct()) {
        message.resume(this.notOpen("without a lease"))
        continue
      }
      this.handed += 1
      this.target.send(message.data, message.binary, (error) => {
        this.handed -= 1
        message.resume(error ? this.notOpen("closed") : Effect.void)
        this.pump()
      })
    }
  }
  private take(message: Waiting): void {
    if (this.waiting.delete(message)) this.bytes -= message.data.length
  }
  private notOpen(status: string): Effect.Effect<never, ConnectionNotOpen> {
    return Effect.fail(new ConnectionNotOpen({ id: this.connectionId, status }))
  }
}
