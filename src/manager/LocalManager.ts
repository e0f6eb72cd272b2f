/**
 * The operations on what this instance owns, for a caller at a door and for a peer that passes a call on.
 *
 * A connection that is not here fails with OwnerUnreachable without `executed`: nothing was done, and the record names its owner.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ConnectResponse, SendRequest, SendResponse } from "../domain/Messages.js"
import type { ErrorOf } from "../domain/Methods.js"
import type { ConnectRequest } from "../domain/Spec.js"
import type { HandoverOffer, Peer } from "../ports/Peers.js"
import type { ConnectionManager } from "./ConnectionManager.js"

export class LocalManager extends Context.Tag("websocketmanager/manager/Local")<
  LocalManager,
  {
    /** Every operation, none of them forwarded; Get, List and Watch tell of this instance alone. */
    readonly operations: ConnectionManager["Type"]
    /** A Connect with a request_id that a peer passes on, since the record names this instance; creates nothing. */
    readonly connectAgain: (request: ConnectRequest) => Effect.Effect<ConnectResponse, ErrorOf<"Connect">>
    /** Send; `onSent` is called when the socket took the message. */
    readonly send: (request: SendRequest, onSent: () => void) => Effect.Effect<SendResponse, ErrorOf<"Send">>
    /** The receiving end of planned moves. */
    readonly handover: {
      readonly take: (from: Peer, handover: HandoverOffer) => Effect.Effect<boolean>
      readonly moved: (from: Peer, id: string, epoch: number) => Effect.Effect<boolean>
    }
  }
>() {}
