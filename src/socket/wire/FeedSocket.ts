/** The `ws` socket of a dial, with the limits that its own defaults would set, and said by their names when it closes. */
import { type ClientOptions, WebSocket } from "ws"
import { FEED } from "../../domain/Limits.js"

/** What ws does by itself unless told otherwise, as far as a peer can bring it about. */
export const FEED_LIMITS = {
  // `Pongs.ts` answers pings: ws itself cuts the socket where more than a few of them wait for their answer.
  autoPong: false,
  maxFragments: FEED.FRAGMENTS,
  maxBufferedChunks: FEED.READS
} as const

/** Of ws 8.23, which has no other way to ask what it keeps; a test tells when this is no longer so. */
interface Internals {
  readonly _receiver: {
    /** read, and part of a fragment that is not all there */
    readonly _bufferedBytes: number
    readonly _buffers: ReadonlyArray<unknown>
    /** in the fragments that are, inflated */
    readonly _messageLength: number
    readonly _fragments: ReadonlyArray<unknown>
    readonly _state: number
  } | null
}

/** The `_state` in which a fragment is with zlib: of what comes of it nothing is known yet. */
const INFLATING = 5

/** A Buffer beside its bytes. */
const PART_BYTES = 128

const TOO_MANY_PARTS = `a message comes in over ${FEED.FRAGMENTS} fragments or ${FEED.READS} reads`
const tooLong = (maxBytes: number) => `a message is over max_message_bytes, ${maxBytes}`

export class FeedSocket extends WebSocket {
  constructor(
    url: URL,
    subprotocols: Array<string>,
    readonly maxMessageBytes: number,
    options: ClientOptions
  ) {
    super(url, subprotocols, { ...options, ...FEED_LIMITS, maxPayload: maxMessageBytes })
  }

  /** Where no reason is given, ws itself closes, on what it will not read. */
  override close(code?: number, reason?: string | Buffer): void {
    if (code === 1008 && reason === undefined) super.close(1009, TOO_MANY_PARTS)
    else if (code === 1009 && reason === undefined) super.close(1009, tooLong(this.maxMessageBytes))
    else super.close(code, reason)
  }

  /** Bytes of messages that are not yet whole, with what it costs to keep them in parts. */
  unfinishedBytes(): number {
    const { _receiver: receiver } = this as unknown as Internals
    if (receiver === null) return 0
    const inflating = receiver._state === INFLATING ? 1 : 0
    const parts = receiver._buffers.length + receiver._fragments.length + inflating
    return receiver._bufferedBytes + receiver._messageLength + parts * PART_BYTES
  }

  /** The close code that went out for what ws would not read, and why; undefined for errors of the socket itself. */
  refusal({
    code = "",
    message
  }: NodeJS.ErrnoException): { readonly code: number; readonly reason: string } | undefined {
    if (code === "WS_ERR_INVALID_UTF8") return { code: 1007, reason: message }
    if (code === "WS_ERR_TOO_MANY_BUFFERED_PARTS") return { code: 1009, reason: TOO_MANY_PARTS }
    if (code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH" || code === "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH") {
      return { code: 1009, reason: tooLong(this.maxMessageBytes) }
    }
    if (code.startsWith("WS_ERR_")) return { code: 1002, reason: message }
    // Deflated data that cannot be inflated.
    return code.startsWith("Z_") ? { code: 1007, reason: message } : undefined
  }
}
