/** What a socket can do, and what is told of it: between the dialler and the session. */
import type { DialCause, SessionEnd } from "./Session.js"

/** Synchronous and in order: `onOpen`, then frames, then `onEnd` once. */
export interface WireHandlers {
  readonly onOpen: (wire: Wire) => void
  readonly onFrame: (data: Buffer, binary: boolean) => void
  /** a ping or a pong came */
  readonly onControl: () => void
  /** this side does not read it for a while, or goes on: not by `pause` */
  readonly onHeldUp: (heldUp: boolean) => void
  /** its frames took so many milliseconds of one turn; true: it shall go */
  readonly onTooExpensive: (ms: number) => boolean
  readonly onEnd: (end: SessionEnd) => void
}

/** An open socket, as bare as it comes. */
export interface Wire {
  readonly subprotocol: string
  readonly send: (data: Uint8Array, binary: boolean, done?: (error?: Error | null) => void) => void
  readonly ping: () => void
  /** bytes not yet given to the kernel */
  readonly bufferedAmount: () => number
  /** bytes that came, ever */
  readonly bytesRead: () => number
  /** so many leave as one, or none of them can be read */
  readonly indivisibleBytes: number
  /** no longer: what is not yet with the kernel never will be */
  readonly isCut: () => boolean
  readonly pause: () => void
  readonly resume: () => void
  /**
   * Starts the closing handshake; the socket is cut after a second. Frames that are still under way are handed on, unless
   * the socket was paused. Then there is no room for them, and a paused socket would never see the answer.
   */
  readonly close: (code: number, reason: string) => void
  /** Cuts the socket; nothing is handed on any more but `onEnd`. */
  readonly terminate: (reason?: string) => void
  /** What handles this socket threw: closes with 1011, and hands on nothing any more but `onEnd`. */
  readonly faulted: (defect: unknown) => void
}

/** The dialler's side, until the socket is open or the dial has failed. */
export interface Dialler {
  readonly opened: () => void
  readonly fail: (failure: DialCause) => void
}
