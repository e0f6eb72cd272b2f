/**
 * One socket from beginning to end: dial, handshake, four clocks, and an end that is always told.
 *
 * Knows nothing of stores or owners: the opener of a session says by `mayAct` whether anything may go out.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ByteBudget } from "../../common/ByteBudget.js"
import type { Defect } from "../../common/CallbackGuard.js"
import type { BufferFull, ConnectionNotOpen, DialFailureKind, TargetForbidden } from "../../domain/Errors.js"
import type { ResolvedSpec } from "../../domain/Spec.js"
import type { UnfinishedBytes } from "./Unfinished.js"

/** Why a dial came to nothing. `closeCode` where the peer closed during the handshake steps. */
export interface DialCause {
  readonly _tag: "DialFailure"
  readonly kind: DialFailureKind
  readonly reason: string
  readonly httpStatus: number | undefined
  /** of the answer's Retry-After, milliseconds */
  readonly retryAfterMs: number | undefined
  /** the code on the wire, 1006 when there was none, undefined when the socket never opened */
  readonly closeCode: number | undefined
  /** what was thrown while this dial was handled: a fault of this instance ended it */
  readonly defect?: Defect | undefined
}

/** How an open socket ended. */
export interface SessionEnd {
  /** the code on the wire, of whichever end sent it; 1006 when there was none */
  readonly closeCode: number
  readonly reason: string
  /**
   * closed: by the peer or on this side's request; dead: no frame in time; idle: no data frame in time; protocol: this side
   * closed on bad input; fault: handling it threw; expensive: its frames took too long, too often; full: what it sent of a
   * message that is not yet whole took too much memory
   */
  readonly cause: "closed" | "dead" | "idle" | "protocol" | "fault" | "expensive" | "full"
  /** of a fault */
  readonly defect?: Defect
}

export interface SessionOptions {
  readonly connectionId: string
  readonly instanceId: string
  readonly epoch: number
  readonly spec: ResolvedSpec
  /** Called synchronously for each ordinary data frame, in order; a frame a handshake step expected is not among them. */
  readonly onFrame: (data: Buffer, binary: boolean) => void
  /** Of the connection: what waits to be sent is taken from it. */
  readonly budget: ByteBudget
  /** Its frames took so many milliseconds of one turn of the event loop. True: it shall end; else it is not read for a while. */
  readonly onTooExpensive: (ms: number) => boolean
  /** Asked right before the dial. */
  readonly mayDial: () => boolean
  /** Asked right before anything goes out of the open socket: each message, each ping. */
  readonly mayAct: () => boolean
}

export interface Session {
  /** the offered one that the peer chose, as the spec writes it; "": none */
  readonly subprotocol: string
  /**
   * Queues one message; done once the socket took it. Fails with BufferFull at once when the queue is full, with
   * ConnectionNotOpen when the socket went away before all of this message left. Interruption takes a waiting message back;
   * `handed` is called when that is no longer possible.
   */
  readonly send: (
    data: Uint8Array,
    binary: boolean,
    handed?: () => void
  ) => Effect.Effect<void, BufferFull | ConnectionNotOpen>
  /** Stop and go on reading: TCP back-pressure. A socket that this side paused is never called dead. */
  readonly pause: () => void
  readonly resume: () => void
  /** Starts the closing handshake; the socket is cut if the peer does not answer within a second. */
  readonly close: (code: number, reason: string) => void
  /** Cuts the socket now. */
  readonly terminate: () => void
  readonly ended: Effect.Effect<SessionEnd>
}

export class Sessions extends Context.Tag("websocketmanager/socket/Sessions")<
  Sessions,
  {
    /**
     * Dials under the host's budget, runs the handshake, starts the clocks. Closing the scope cuts the socket.
     * At most 60 seconds, dial and handshake together.
     */
    readonly open: (options: SessionOptions) => Effect.Effect<Session, DialCause | TargetForbidden, Scope.Scope>
    /**
     * Whether the egress policy and the secrets' host lists would let this target through, before anything is kept. Literal
     * addresses, denied names and forbidden secrets are judged at once; all other names are judged when they are dialled.
     */
    readonly precheck: (spec: ResolvedSpec) => Effect.Effect<void, TargetForbidden>
    /** Milliseconds a dial to this host would wait for the dial budget now. */
    readonly budgetWait: (hostPort: string) => number
    /** messages that are not yet whole, all sockets together */
    readonly unfinished: UnfinishedBytes
  }
>() {}
