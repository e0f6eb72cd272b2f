/**
 * Sessions that are kept, one an address: dialled when they are asked for, shared by all callers, forgotten when they end. A
 * session on which this instance has proved to be an earlier incarnation of itself is replaced.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { Peer, PeerFailure } from "../../ports/Peers.js"
import type { PeerSocket } from "./PeerSocket.js"

/** Gives the open session to an address, dialling it where there is none. */
export type SessionPool = (address: string, me: Peer) => Effect.Effect<PeerSocket, PeerFailure>

interface Entry {
  readonly incarnation: string
  fiber: Fiber.RuntimeFiber<void> | undefined
  readonly dialled: Deferred.Deferred<PeerSocket, PeerFailure>
  session: PeerSocket | undefined
}

export const make = (
  dial: (address: string, me: Peer) => Effect.Effect<PeerSocket, PeerFailure, Scope.Scope>
): Effect.Effect<SessionPool, never, Scope.Scope> =>
  Effect.gen(function* () {
    const entries = new Map<string, Entry>()
    const fork = yield* FiberSet.makeRuntime()

    const keep = (address: string, me: Peer, entry: Entry) =>
      Effect.gen(function* () {
        const session = yield* dial(address, me)
        entry.session = session
        yield* Deferred.succeed(entry.dialled, session)
        yield* session.ended
      }).pipe(
        Effect.scoped,
        Effect.catchAll((failure) => Effect.asVoid(Deferred.fail(entry.dialled, failure))),
        // interrupted while it was dialled: the session has no waiter any more
        Effect.onInterrupt(() => Deferred.interrupt(entry.dialled)),
        Effect.ensuring(
          Effect.sync(() => {
            if (entries.get(address) === entry) entries.delete(address)
          })
        )
      )

    return (address, me) =>
      Effect.flatMap(Deferred.make<PeerSocket, PeerFailure>(), (dialled) => {
        const known = entries.get(address)
        // a session that is closing is no longer the one to ask
        const same = known?.incarnation === me.incarnation
        if (known !== undefined && same && known.session?.isOpen() !== false) return Deferred.await(known.dialled)
        const entry: Entry = { dialled, session: undefined, incarnation: me.incarnation, fiber: undefined }
        entries.set(address, entry)
        entry.fiber = fork(keep(address, me, entry))
        if (known !== undefined && !same) known.fiber?.unsafeInterruptAsFork(known.fiber.id())
        return Deferred.await(dialled)
      })
  })
