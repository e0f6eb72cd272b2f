/**
 * Matches replies to requests on one socket: four modes, thousands in flight, one map look-up per incoming frame.
 */
import type * as Effect from "effect/Effect"
import type { InvalidRequest, SendTimeout } from "../domain/Errors.js"
import type { SendResponse } from "../domain/Messages.js"
import type { ResolvedCorrelation } from "../domain/Spec.js"

export interface CorrelatorRequest<E> {
  readonly message: Uint8Array
  /** text frame or binary frame */
  readonly binary: boolean
  readonly correlation: ResolvedCorrelation
  /** milliseconds; a NEXT request that waits its turn waits within it too */
  readonly timeoutMs: number
  /** Hands the message, with its id put in, to the socket; done once the socket took it. */
  readonly send: (message: Uint8Array, binary: boolean) => Effect.Effect<void, E>
}

/** Represents a request whose socket ended before its reply. */
export interface RequestAborted {
  readonly _tag: "RequestAborted"
  readonly sent: "yes" | "no"
}

export interface Correlator {
  /** Whether any request waits for a reply: the hot path asks this first. */
  readonly waiting: () => boolean
  /** Offers an incoming frame. True: it was a reply, and goes nowhere else. Synchronous. */
  readonly offer: (data: Buffer, binary: boolean) => boolean
  /**
   * Sends one message and waits for its reply. A deadline or an interruption frees its slot; a reply that comes later is
   * an ordinary frame.
   */
  readonly request: <E>(
    request: CorrelatorRequest<E>
  ) => Effect.Effect<SendResponse, E | InvalidRequest | SendTimeout | RequestAborted>
  /** The socket ended: every request in flight ends with RequestAborted. */
  readonly abort: () => void
}
