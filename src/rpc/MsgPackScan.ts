/**
 * Looks at MessagePack before it is decoded, in one walk that keeps nothing. The decoder makes arrays as long as a header
 * claims, and an object of sixty bytes for one of one byte. So what is small on the wire need not be small in memory.
 *
 * Only whole messages pass: as many and as deep as they may be, with every item there that a header claims. Of extensions,
 * only those pass that the encoder here writes: records, `undefined` and times. A big integer does not pass: its text costs
 * the square of its length.
 */
import { CALLER, PEER } from "../domain/Limits.js"

/** Represents bytes that are not decoded. */
export class NotMessagePack extends Error {
  constructor(
    message: string,
    /** whether a limit was passed; else the bytes make no sense */
    readonly overLimit: boolean
  ) {
    super(message)
  }
}

export interface ScanLimits {
  readonly messages: number
  /** of all messages together: scalars, containers, keys */
  readonly values: number
}

export const BODY: ScanLimits = { messages: CALLER.MESSAGES_PER_BODY, values: CALLER.MSGPACK_VALUES }
export const FRAME: ScanLimits = { messages: CALLER.MESSAGES_PER_FRAME, values: CALLER.MSGPACK_VALUES }
export const ANSWER: ScanLimits = { messages: CALLER.MESSAGES_PER_BODY, values: PEER.MSGPACK_VALUES }

const RECORD = 0x72
const TIME = 0xff
const UNDEFINED = 0x00
/** Ids of records share the tokens from 0x40 on with small numbers: one that was not defined is a number. */
const RECORD_IDS = 64

const garbled = () => new NotMessagePack("is not one or more whole MessagePack messages", false)
const foreign = () => new NotMessagePack("has a MessagePack extension that means nothing here", false)
const tooMuch = (what: string) => new NotMessagePack(what, true)

/** How many bytes of head follow a token from 0xc4 on: a length, a length and the type of an extension, or a scalar. */
const HEAD = [
  1, 2, 4, 2, 3, 5, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 1, 2, 4, 2, 4, 2, 4
] // prettier-ignore

const lengthAt = (bytes: Uint8Array, at: number, size: number): number => {
  let length = 0
  for (let i = 0; i < size; i++) length = length * 256 + bytes[at + i]!
  return length
}

/** How many messages there are; throws `NotMessagePack`. One scanner is for one reader: it has the memory of a walk. */
export const make = (limits: ScanLimits): ((bytes: Uint8Array) => number) => {
  /** keys of the records defined so far; -1: it is none */
  const keysOf = new Int32Array(RECORD_IDS)
  /** values that the containers around the place still claim, outermost first */
  const claimed = new Int32Array(CALLER.MSGPACK_DEPTH + 1)

  return (bytes) => {
    const end = bytes.length
    let at = 0
    let depth = 0
    let owed = 0
    let values = 0
    let messages = 0
    keysOf.fill(-1)

    /** So many more values are to come: each has a byte, or the claim is false. */
    const owe = (count: number): void => {
      owed += count
      if (owed > end - at) throw garbled()
      if (values + owed > limits.values) throw tooMuch(`has more than ${limits.values} values`)
    }

    /** Keys of a record, which are texts; they stand before its values. */
    const define = (id: number): number => {
      const token = at < end ? bytes[at++]! : 0
      const size = token === 0xdc ? 2 : token === 0xdd ? 4 : 0
      if (size === 0 && (token & 0xf0) !== 0x90) throw garbled()
      if (at + size > end) throw garbled()
      const keys = size === 0 ? token & 0x0f : lengthAt(bytes, at, size)
      at += size
      owe(keys)
      for (let i = 0; i < keys; i++) {
        const text = at < end ? bytes[at++]! : 0
        const head = text >= 0xd9 && text <= 0xdb ? 1 << (text - 0xd9) : 0
        if (head === 0 && (text & 0xe0) !== 0xa0) throw garbled()
        if (at + head > end) throw garbled()
        at += head + (head === 0 ? text & 0x1f : lengthAt(bytes, at, head))
      }
      owed -= keys
      values += keys
      keysOf[id] = keys
      return keys
    }

    if (end === 0) throw garbled()
    while (at < end) {
      if (depth === 0 && ++messages > limits.messages) throw tooMuch(`has more than ${limits.messages} messages`)
      if (depth > 0) {
        owed -= 1
        claimed[depth]! -= 1
      }
      const token = bytes[at++]!
      let children = 0
      if (token < 0x40 || token >= 0xe0) {
        // a small number
      } else if (token < 0x80) children = Math.max(0, keysOf[token & 0x3f]!)
      else if (token < 0x90) children = 2 * (token & 0x0f)
      else if (token < 0xa0) children = token & 0x0f
      else if (token < 0xc0) at += token & 0x1f
      else if (token === 0xc1) throw garbled()
      else if (token >= 0xc4) {
        const size = HEAD[token - 0xc4]!
        const head = at
        at += size
        if (at > end) throw garbled()
        if (token <= 0xc6) at += lengthAt(bytes, head, size)
        else if (token === 0xc7) {
          if (bytes[head] !== 12 || bytes[head + 1] !== TIME) throw foreign()
          at += 12
        } else if (token === 0xd4) {
          if (bytes[head] === RECORD) children = define(bytes[head + 1]! & 0x3f)
          else if (bytes[head] !== UNDEFINED) throw foreign()
        } else if (token === 0xd6 || token === 0xd7) {
          if (bytes[head] !== TIME) throw foreign()
        } else if (token === 0xc8 || token === 0xc9 || token === 0xd5 || token === 0xd8) throw foreign()
        else if (token >= 0xd9 && token <= 0xdb) at += lengthAt(bytes, head, size)
        else if (token >= 0xdc) children = lengthAt(bytes, head, size) * (token >= 0xde ? 2 : 1)
      }
      if (at > end) throw garbled()
      values += 1
      owe(children)
      if (children > 0) {
        if (depth === CALLER.MSGPACK_DEPTH) throw tooMuch(`has containers more than ${CALLER.MSGPACK_DEPTH} deep`)
        claimed[++depth] = children
      }
      while (depth > 0 && claimed[depth] === 0) depth -= 1
    }
    if (depth > 0) throw garbled()
    return messages
  }
}
