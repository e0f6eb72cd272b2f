/**
 * Answers of gRPC calls that their clients have not read: each message counts from its write until it has left. What does not
 * fit waits, and with it the call that writes: grpc-js hands over one message of a call at a time.
 */
import type * as Http2 from "node:http2"
import { PAGE_BYTES, type UnreadOf } from "../../manager/Unread.js"

type Written = (error?: Error | null) => void

/** Counts what the stream is given. `kept`: room for one page is there already. */
export const count = (stream: Http2.ServerHttp2Stream, unread: UnreadOf, kept: boolean): void => {
  const write = stream.write.bind(stream) as (bytes: Buffer, written: Written) => boolean
  let reserved = kept ? PAGE_BYTES : 0
  let held = 0
  const release = (bytes: number): void => {
    held -= bytes
    unread.give(bytes)
  }
  const pass = (bytes: Buffer, written: Written): boolean => {
    held += bytes.length
    return write(bytes, (error) => {
      if (!stream.destroyed) release(bytes.length)
      written(error)
    })
  }
  stream.write = ((bytes: Buffer, written: Written): boolean => {
    const covered = Math.min(reserved, bytes.length)
    unread.give(reserved - covered)
    reserved = 0
    const more = bytes.length - covered
    if (unread.take(more)) return pass(bytes, written)
    held += covered
    let forget = () => {}
    const gone = () => {
      forget()
      written(null)
    }
    stream.once("close", gone)
    forget = unread.whenRoom(more, () => {
      stream.off("close", gone)
      held -= covered
      if (stream.destroyed || stream.writableEnded) {
        unread.give(bytes.length)
        written(null)
      } else pass(bytes, written)
    })
    return false
  }) as typeof stream.write
  stream.once("close", () => {
    unread.give(reserved + held)
    reserved = held = 0
  })
}

/** Begins once there is room for a page, unless the stream ends before. */
export const whenRoom = (stream: Http2.ServerHttp2Stream, unread: UnreadOf, begin: () => void): void => {
  let begun = false
  const forget = unread.whenRoomFor(PAGE_BYTES, () => {
    begun = true
    if (!stream.destroyed && !stream.closed) return begin()
    unread.give(PAGE_BYTES)
  })
  if (!begun) stream.once("close", forget)
}
