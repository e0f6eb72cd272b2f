/**
 * A Send at the owner's. The owner tells when the message has left, so that a caller whose owner dies learns whether it went
 * out; only in the moment between is that unknown.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { SendAborted, SendTimeout } from "../../domain/Errors.js"
import type { SendRequest, SendResponse } from "../../domain/Messages.js"
import type { ErrorOf } from "../../domain/Methods.js"
import type { Peer, PeerFailure } from "../../ports/Peers.js"
import { type RoutingContext, whileAlive } from "./Forward.js"

/** The owner's own time-out comes first, and knows more. */
const FORWARD_GRACE_MS = 500
const DEFAULT_TIMEOUT = 10_000

/** `id` is canonical. PeerRefused, and PeerSilent that was not sent: nothing has left this instance. */
export const send = (
  reach: RoutingContext,
  owner: Peer,
  id: string,
  request: SendRequest
): Effect.Effect<SendResponse, ErrorOf<"Send"> | PeerFailure> =>
  Effect.suspend(() => {
    let sent = false
    let response: SendResponse | undefined
    const aborted = () => new SendAborted({ id, sent: sent ? "yes" : "unknown" })
    const progresses = Stream.runForEach(reach.peers.send(owner.address, request), (progress) =>
      Effect.sync(() => {
        sent = true
        if (progress._tag === "Replied") response = progress.response
      })
    )
    return whileAlive(reach, owner, progresses).pipe(
      Effect.catchTags({
        PeerRefused: (refused) => (sent ? aborted() : refused),
        PeerSilent: (silent) => (sent || silent.sent ? aborted() : silent)
      }),
      Effect.flatMap(() => (response === undefined ? aborted() : Effect.succeed(response))),
      Effect.timeoutFail({ duration: timeoutOf(request) + FORWARD_GRACE_MS, onTimeout: () => new SendTimeout({ id }) })
    )
  })

/** Milliseconds; what is no number is for the owner to refuse. */
export const timeoutOf = ({ timeoutMs = 0 }: SendRequest): number => (timeoutMs > 0 ? timeoutMs : DEFAULT_TIMEOUT)
