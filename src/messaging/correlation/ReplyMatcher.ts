/** Requests that wait for their replies: grouped by where a reply carries its id, so that a frame is looked up once a group. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { isUtf8 } from "node:buffer"
import { OCTET_STREAM, TEXT_PLAIN } from "../../domain/Frame.js"
import { find, type Path, type Span, valueText } from "../../domain/json/JsonPath.js"
import { FEED } from "../../domain/Limits.js"
import type { SendResponse } from "../../domain/Messages.js"
import type { ResolvedCorrelation } from "../../domain/Spec.js"

export interface CorrelatorRequest<E> {
  readonly message: Uint8Array
  /** text frame or binary frame */
  readonly binary: boolean
  readonly correlation: ResolvedCorrelation
  /** milliseconds; a NEXT request that waits its turn waits within it too */
  readonly timeoutMs: number
  /**
   * Hands the message, with its id put in, to the socket; done once the socket took it, failed once it never will. `handed`
   * is called when it can no longer be taken back.
   */
  readonly send: (message: Uint8Array, binary: boolean, handed: () => void) => Effect.Effect<void, E>
}

/** Represents a request whose socket ended before its reply. */
export interface RequestAborted {
  readonly _tag: "RequestAborted"
  readonly sent: "yes" | "no"
}

/** One request in flight. */
export class Waiter {
  /** whether the message went to the socket, so that a reply may come */
  handed = false
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

/** A frame that may be a reply; its text is decoded once, and only if a mode asks for it. */
export class IncomingFrame {
  private text: string | undefined | null = null

  constructor(
    readonly data: Buffer,
    readonly binary: boolean,
    /** a larger frame is not looked into */
    private readonly lookInto: number = FEED.REPLY_BYTES
  ) {}

  /** The value at a path of the frame's JSON; undefined where there is none, or where the frame is not JSON. */
  find(path: Path): Span | undefined {
    if (this.text === null) this.text = this.decode()
    return this.text === undefined ? undefined : find(this.text, path)
  }
  /** A key that keeps the JSON type: strings by content behind a quote, all else by JSON text. */
  key(span: Span): string {
    return jsonKey(this.text!, span)
  }
  valueText(span: Span): string {
    return valueText(this.text!, span)
  }
  isString(span: Span): boolean {
    return this.text![span.start] === '"'
  }

  whole(): SendResponse {
    return { response: this.data, contentType: this.binary ? OCTET_STREAM : TEXT_PLAIN }
  }

  private decode(): string | undefined {
    if (this.data.length > this.lookInto) return undefined
    // Peers that speak JSON in binary frames exist; a binary feed is told apart by its first byte.
    const begins = this.data[0]
    if (this.binary && ((begins !== 0x7b && begins !== 0x5b) || !isUtf8(this.data))) return undefined
    return this.data.toString("utf8")
  }
}

/** A key that keeps the JSON type: strings by content behind a quote, all else by JSON text. */
export const jsonKey = (text: string, span: Span): string =>
  text[span.start] === '"' ? `"${valueText(text, span)}` : text.slice(span.start, span.end)

export const jsonField = (replyPath: Path): Group => ({
  waiters: new Map(),
  read: (frame) => {
    const span = frame.find(replyPath)
    return span === undefined ? undefined : { key: frame.key(span), reply: () => frame.whole() }
  }
})

/** Replies `{"id", "payload"}`; an object that lacks a payload is no reply. */
export const envelope = (): Group => ({
  waiters: new Map(),
  read: (frame) => {
    const span = frame.find(ID)
    if (span === undefined) return undefined
    const reply = () => {
      const payload = frame.find(PAYLOAD)
      if (payload === undefined) return undefined
      const contentType = frame.isString(payload) ? TEXT_PLAIN : "application/json"
      return { response: Buffer.from(frame.valueText(payload)), contentType }
    }
    return { key: frame.key(span), reply }
  }
})

const ID: Path = ["id"]
const PAYLOAD: Path = ["payload"]

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
