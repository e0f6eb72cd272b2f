/** Requests that wait for their replies: grouped by where a reply carries its id, so that a frame is looked up once a group. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { isUtf8 } from "node:buffer"
import { isJson, locate, type Path, type Span, valueText } from "../domain/JsonPath.js"
import { OCTET_STREAM, TEXT_PLAIN } from "../domain/Frame.js"
import type { SendResponse } from "../domain/Messages.js"
import type { RequestAborted } from "./Correlator.js"

/** One request in flight. */
export class Waiter {
  /** whether the socket took the message */
  sent = false
  private exit: Exit.Exit<SendResponse, RequestAborted> | undefined
  private resume: ((exit: Exit.Exit<SendResponse, RequestAborted>) => void) | undefined

  settle(exit: Exit.Exit<SendResponse, RequestAborted>): void {
    if (this.exit !== undefined) return
    this.exit = exit
    this.resume?.(exit)
  }

  readonly settled: Effect.Effect<SendResponse, RequestAborted> = Effect.async((resume) => {
    if (this.exit !== undefined) return resume(this.exit)
    this.resume = resume
  })
}

/** Where the requests of one mode and one reply path wait. */
export interface Group {
  readonly waiters: Map<string, Waiter>
  /** The waiter's key and the reply, where the frame has such an id. */
  readonly read: (
    frame: IncomingFrame
  ) => { readonly key: string; readonly reply: () => SendResponse | undefined } | undefined
}

/** A frame that may be a reply; its text is decoded and checked once, and only if somebody asks. */
export class IncomingFrame {
  private text: string | undefined | null = null

  constructor(
    readonly data: Buffer,
    readonly binary: boolean
  ) {}

  /** The frame as JSON text; undefined where it is none. */
  json(): string | undefined {
    if (this.text === null) this.text = this.decode()
    return this.text
  }

  whole(): SendResponse {
    return { response: this.data, contentType: this.binary ? OCTET_STREAM : TEXT_PLAIN }
  }

  private decode(): string | undefined {
    // Peers that speak JSON in binary frames exist; a binary feed is told apart by its first byte.
    const begins = this.data[0]
    if (this.binary && ((begins !== 0x7b && begins !== 0x5b) || !isUtf8(this.data))) return undefined
    const text = this.data.toString("utf8")
    return isJson(text) ? text : undefined
  }
}

/** A key that keeps the JSON type: strings by content behind a quote, all else by JSON text. */
export const jsonKey = (text: string, span: Span): string =>
  text[span.start] === '"' ? `"${valueText(text, span)}` : text.slice(span.start, span.end)

export const jsonField = (replyPath: Path): Group => ({
  waiters: new Map(),
  read: (frame) => {
    const text = frame.json()
    const span = text === undefined ? undefined : locate(text, replyPath)
    return span === undefined ? undefined : { key: jsonKey(text!, span), reply: () => frame.whole() }
  }
})

/** Replies `{"id", "payload"}`; an object without a payload is none. */
export const envelope = (): Group => ({
  waiters: new Map(),
  read: (frame) => {
    const text = frame.json()
    const span = text === undefined ? undefined : locate(text, ["id"])
    if (span === undefined) return undefined
    const reply = () => {
      const payload = locate(text!, ["payload"])
      if (payload === undefined) return undefined
      return { response: Buffer.from(valueText(text!, payload)), contentType: payloadType(text!, payload) }
    }
    return { key: jsonKey(text!, span), reply }
  }
})

const payloadType = (text: string, payload: Span): string =>
  text[payload.start] === '"' ? TEXT_PLAIN : "application/json"

export const PREFIX_BYTES = 16

export const prefix = (): Group => ({
  waiters: new Map(),
  read: ({ binary, data }) =>
    binary && data.length >= PREFIX_BYTES
      ? {
          key: data.toString("latin1", 0, PREFIX_BYTES),
          reply: () => ({ response: data.subarray(PREFIX_BYTES), contentType: OCTET_STREAM })
        }
      : undefined
})
