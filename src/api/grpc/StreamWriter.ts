/**
 * Writes to a server stream no faster than the client reads.
 *
 * A stream of grpc-js counts messages, not bytes: sixteen frames of 16 MiB might wait in it. So the bytes are counted here too,
 * and beyond a mebibyte the writing fiber waits.
 */
import type { ServerWritableStream } from "@grpc/grpc-js"
import * as Effect from "effect/Effect"

const MAX_WAITING_BYTES = 1024 * 1024

export interface StreamWriter {
  /**
   * Done when all items are handed over, in order; items that encode to nothing are left out. Never fails: a call that is
   * gone interrupts its fiber.
   */
  readonly writeAll: <Item>(items: Iterable<Item>, encode: (item: Item) => Buffer | undefined) => Effect.Effect<void>
}

export const make = (call: ServerWritableStream<Buffer, Buffer>): StreamWriter => {
  let waiting = 0
  let wake: (() => void) | undefined

  const full = () => call.writableNeedDrain || waiting > MAX_WAITING_BYTES

  const write = (message: Buffer): void => {
    waiting += message.length
    call.write(message, () => {
      waiting -= message.length
      if (!full()) wake?.()
    })
  }

  const room = Effect.async<void>((resume) => {
    wake = () => {
      wake = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => (wake = undefined))
  })

  return {
    writeAll: (items, encode) =>
      Effect.suspend(() => {
        const rest = items[Symbol.iterator]()
        let next = rest.next()
        return Effect.whileLoop({
          while: () => next.done !== true,
          body: () => {
            while (next.done !== true && !full()) {
              const message = encode(next.value)
              if (message !== undefined) write(message)
              next = rest.next()
            }
            return full() ? room : Effect.void
          },
          step: () => {}
        })
      })
  }
}
