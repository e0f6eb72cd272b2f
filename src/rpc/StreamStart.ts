/**
 * The client's side of "the stream has begun". A streaming call that carries OPENED_HEADER is answered by one empty chunk,
 * which the RPC client itself does not know. One of these stands beside each protocol.
 */
import type { FromClientEncoded, FromServerEncoded } from "@effect/rpc/RpcMessage"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import { OPENED_HEADER } from "./Serialization.js"

type Opening<A, E> = Effect.Effect<Mailbox.ReadonlyMailbox<A, E>, never, Scope.Scope>

export class StreamStarts {
  private readonly begun = new Map<string, () => void>()
  private readonly keys = new Map<string, string>()
  private next = 0

  /** Sees each message that goes out. */
  outgoing(message: FromClientEncoded): void {
    if (message._tag === "Request") {
      const key = message.headers.find(([name]) => name === OPENED_HEADER)?.[1]
      if (key !== undefined) this.keys.set(message.id, key)
    }
    if (message._tag === "Interrupt") this.keys.delete(message.requestId)
  }

  /** Sees each message that comes in; undefined: it was for here. */
  incoming(message: FromServerEncoded): FromServerEncoded | undefined {
    if (message._tag === "Exit") this.keys.delete(message.requestId)
    if (message._tag !== "Chunk" || message.values.length > 0) return message
    this.begun.get(this.keys.get(message.requestId) ?? "")?.()
    return undefined
  }

  /** Makes the call with the headers it is given; done when the stream has begun, or ended before that. */
  open<A, E>(call: (headers: Readonly<Record<string, string>>) => Opening<A, E>) {
    return Effect.gen(this, function* () {
      const key = String(this.next++)
      const begun = yield* Deferred.make<void>()
      yield* Effect.acquireRelease(
        Effect.sync(() => this.begun.set(key, () => Deferred.unsafeDone(begun, Effect.void))),
        () => Effect.sync(() => this.begun.delete(key))
      )
      const mailbox = yield* call({ [OPENED_HEADER]: key })
      yield* Effect.raceFirst(Deferred.await(begun), mailbox.await)
      return mailbox
    })
  }
}
