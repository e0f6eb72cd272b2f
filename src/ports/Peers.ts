/**
 * How the instances of one fleet speak to each other. They tell crashes from silence, renew leases while the store is away,
 * hand connections over, and pass calls on to their owner.
 *
 * Every call ends within its deadline and can be interrupted. What failed says what is known: `PeerRefused` is the word of
 * the peer's host that no process listens at that address. `PeerSilent` proves nothing: the call may even have been
 * executed.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ManagerError } from "../domain/Errors.js"
import type { SendRequest, SendResponse } from "../domain/Messages.js"
import type { ErrorOf } from "../domain/Methods.js"

/** One incarnation of an instance, and where it is reached. */
export interface Peer {
  /** the instance */
  readonly id: string
  /** a UUID, new with each join */
  readonly incarnation: string
  /** as advertised: `http://host:port`, or https */
  readonly address: string
}

/** Represents a dial that the peer's host refused: no process listens there. */
export class PeerRefused extends Data.TaggedError("PeerRefused")<{ readonly address: string }> {
  override get message() {
    return `no process listens at ${this.address}`
  }
}

/** Represents a peer that did not answer: a time-out, a broken link, an unreachable host, an answer that makes no sense. */
export class PeerSilent extends Data.TaggedError("PeerSilent")<{
  readonly address: string
  readonly reason: string
  /** the call had left: it may have been executed */
  readonly sent: boolean
}> {
  override get message() {
    return `no answer from ${this.address}: ${this.reason}`
  }
}

/** Why a peer gave no answer. */
export type PeerFailure = PeerRefused | PeerSilent

/**
 * What a peer says of the store and of the instance that asks (src/ownership/README.md, The store away for all). `fenced`:
 * the asking incarnation has ended; `reached`: it has read, or a fence is on its way; `not-reached`: its read failed, and
 * it listens anew from its next good read.
 */
export type PeerHealth = "fenced" | "reached" | "not-reached"

/** `incarnation` is the answering one; undefined while it has none. */
interface Answered {
  readonly incarnation: string | undefined
}
/** The answer to a hello. */
export interface Greeting extends Answered {
  /**
   * The peer has read of this instance in the store, and asks it before it goes on without the store. From here on the
   * peer's silence may count.
   */
  readonly counted: boolean
  /**
   * The peer holds its lease. Unless it counts this instance, its silence counts for nothing, since it may go on without
   * asking.
   */
  readonly acts: boolean
}
/** The answer to the question whether this instance may go on without the store. */
export interface LeaseProbe extends Answered {
  /** undefined: the peer cannot say */
  readonly verdict: PeerHealth | undefined
}

/** A connection that its owner wants the receiver to claim: the record names the receiver in `handover`. */
export interface HandoverOffer {
  /** of the connection */
  readonly id: string
  /** of the present owner */
  readonly epoch: number
  /** make before break: the old socket stays open until `moved` */
  readonly overlap: boolean
}

/** What becomes of a forwarded Send: first that the frame has left, then the reply. */
export type SendProgress = { readonly _tag: "Sent" } | { readonly _tag: "Replied"; readonly response: SendResponse }

/** How this instance speaks to the others. */
export class Peers extends Context.Tag("websocketmanager/ports/Peers")<
  Peers,
  {
    /**
     * Says which instance this is. The peer looks in the store whether it is so, and says whether it counts this instance as a
     * member.
     */
    readonly hello: (to: string, me: Peer) => Effect.Effect<Greeting, PeerFailure>
    /** Asks whether the peer reaches the store, and whether the asking incarnation has ended. */
    readonly probeLease: (to: string, me: Peer) => Effect.Effect<LeaseProbe, PeerFailure>
    /**
     * Dials, says hello, calls `up` with the answer, and keeps the link. Succeeds when a link that stood has broken; fails when
     * it never stood, or was given up after a long silence, which proves nothing. Interruption closes it.
     */
    readonly link: (to: string, me: Peer, up: (greeting: Greeting) => void) => Effect.Effect<void, PeerFailure>
    /** Offers a connection; true: the peer will try to claim it. */
    readonly offerHandover: (to: string, me: Peer, handover: HandoverOffer) => Effect.Effect<boolean, PeerFailure>
    /** Tells the former owner that the connection is up here; true: it has heard. */
    readonly confirmHandover: (to: string, me: Peer, id: string, epoch: number) => Effect.Effect<boolean, PeerFailure>
    /** One unary operation of the manager under its name on the wire, marked as forwarded: the peer answers it or fails it. */
    readonly call: (to: string, method: string, request: unknown) => Effect.Effect<unknown, ManagerError | PeerFailure>
    /** A forwarded Send; the caller learns when the frame has left. */
    readonly send: (to: string, request: SendRequest) => Stream.Stream<SendProgress, ErrorOf<"Send"> | PeerFailure>
    /** A forwarded stream; done when it has begun. */
    readonly open: (
      to: string,
      method: string,
      request: unknown
    ) => Effect.Effect<Stream.Stream<unknown, ManagerError | PeerFailure>, ManagerError | PeerFailure, Scope.Scope>
  }
>() {}

/** What this instance answers its peers; the other end of `Peers`, served by the doors. */
export class PeerService extends Context.Tag("websocketmanager/ports/PeerDesk")<
  PeerService,
  {
    /** of the incarnation that answers; undefined: there is none */
    readonly incarnation: () => string | undefined
    readonly hello: (from: Peer) => Effect.Effect<Greeting>
    readonly probeLease: (from: Peer) => Effect.Effect<LeaseProbe>
    readonly offerHandover: (from: Peer, handover: HandoverOffer) => Effect.Effect<boolean>
    readonly confirmHandover: (from: Peer, id: string, epoch: number) => Effect.Effect<boolean>
    readonly call: (method: string, request: unknown) => Effect.Effect<unknown, ManagerError>
    readonly send: (request: SendRequest) => Stream.Stream<SendProgress, ManagerError>
    readonly open: (
      method: string,
      request: unknown
    ) => Effect.Effect<Stream.Stream<unknown, ManagerError>, ManagerError, Scope.Scope>
  }
>() {}
