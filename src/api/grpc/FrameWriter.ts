/**
 * `ReceiveResponse` written by hand, the one message that goes out for every frame. It takes a tenth of the time of the
 * general way, and a single copy of the frame's bytes. A test holds it to the general way, byte for byte.
 */
import type { ReceiveResponse } from "../../domain/Messages.js"

const DATA = 0x0a // 1, length-delimited
const CONTENT_TYPE = 0x12 // 2, length-delimited
const EPOCH = 0x18 // 3, varint
const SEQUENCE = 0x20 // 4, varint
const RECEIVED_AT = 0x2a // 5, length-delimited
const MISSED = 0x30 // 6, varint
const SECONDS = 0x08 // of Timestamp: 1, varint
const NANOS = 0x10 // 2, varint

/** Bytes of a whole number from 0 to 2^53 - 1 as a varint. */
const varintSize = (n: number): number => {
  let size = 1
  while (n >= 128) {
    n = Math.floor(n / 128)
    size += 1
  }
  return size
}

const writeVarint = (out: Buffer, at: number, n: number): number => {
  while (n >= 128) {
    out[at++] = (n % 128) | 0x80
    n = Math.floor(n / 128)
  }
  out[at++] = n
  return at
}

/** Proto3 leaves out what is zero. */
const numberSize = (n: number): number => (n === 0 ? 0 : 1 + varintSize(n))

const writeNumber = (out: Buffer, at: number, tag: number, n: number): number => {
  if (n === 0) return at
  out[at++] = tag
  return writeVarint(out, at, n)
}

/** The times of frames are after 1970, so both parts of a timestamp are whole and not negative. */
export const encodeReceiveResponse = (frame: ReceiveResponse): Buffer => {
  const { contentType, data, epoch, missed, sequence } = frame
  const ms = frame.receivedAt.getTime()
  const seconds = Math.floor(ms / 1000)
  const nanos = (ms - seconds * 1000) * 1_000_000
  const timeSize = numberSize(seconds) + numberSize(nanos)
  const typeSize = Buffer.byteLength(contentType)

  const out = Buffer.allocUnsafe(
    (data.length === 0 ? 0 : numberSize(data.length) + data.length) +
      (typeSize === 0 ? 0 : numberSize(typeSize) + typeSize) +
      numberSize(epoch) +
      numberSize(sequence) +
      2 + // a timestamp is shorter than 128 bytes
      timeSize +
      numberSize(missed)
  )
  let at = writeNumber(out, 0, DATA, data.length)
  out.set(data, at)
  at = writeNumber(out, at + data.length, CONTENT_TYPE, typeSize)
  at += out.write(contentType, at)
  at = writeNumber(out, at, EPOCH, epoch)
  at = writeNumber(out, at, SEQUENCE, sequence)
  out[at++] = RECEIVED_AT
  out[at++] = timeSize
  at = writeNumber(out, at, SECONDS, seconds)
  at = writeNumber(out, at, NANOS, nanos)
  writeNumber(out, at, MISSED, missed)
  return out
}
