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

export interface SendQueue {
  /**
   * Done once the socket took the message. Fails with BufferFull at once when the queue is full (a message larger than all of
   * it is taken when the queue is empty), with ConnectionNotOpen when the socket ended, or this instance may no longer
   * act, before it left. Interruption takes a waiting message back.
   */
  readonly send: (data: Uint8Array, binary: boolean) => Effect.Effect<void, BufferFull | ConnectionNotOpen>
  /** The socket is gone: whoever waits fails, and so does whoever comes. */
  readonly end: () => void
}

interface Waiting {
  readonly data: Uint8Array
  readonly binary: boolean
  readonly resume: (result: Effect.Effect<void, ConnectionNotOpen>) => void
}

export const make = (connectionId: string, target: SendTarget): SendQueue => {
  const waiting = new Set<Waiting>()
  let bytes = 0
  let handed = 0
  let ended = false

  const notOpen = (status: string) => Effect.fail(new ConnectionNotOpen({ id: connectionId, status }))
  const take = (message: Waiting): void => {
    if (waiting.delete(message)) bytes -= message.data.length
  }
  const pump = (): void => {
    for (const message of waiting) {
      if (handed >= MAX_MESSAGES || target.bufferedAmount() >= SOCKET_HIGH_WATER) return
      take(message)
      if (!target.mayAct()) {
        message.resume(notOpen("without a lease"))
        continue
      }
      handed += 1
      target.send(message.data, message.binary, (error) => {
        handed -= 1
        message.resume(error ? notOpen("closed") : Effect.void)
        pump()
      })
    }
  }

  return {
    send: (data, binary) =>
      Effect.async<void, BufferFull | ConnectionNotOpen>((resume) => {
        if (ended) return resume(notOpen("closed"))
        const full = waiting.size >= MAX_MESSAGES || (waiting.size > 0 && bytes + data.length > MAX_BYTES)
        if (full) return resume(Effect.fail(new BufferFull({ what: "the send queue" })))
        const message: Waiting = { data, binary, resume }
        waiting.add(message)
        bytes += data.length
        pump()
        return Effect.sync(() => take(message))
      }),
    end: () => {
      ended = true
      for (const message of waiting) {
        take(message)
        message.resume(notOpen("closed"))
      }
    }
  }
}
