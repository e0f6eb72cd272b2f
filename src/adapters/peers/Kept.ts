/** Sessions that are kept, one a key: dialled when they are asked for, shared by all who ask, forgotten when they end. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { PeerFailure } from "../../ports/Peers.js"
import type { Session } from "./Session.js"

/** Gives the open session to an address, dialling it where there is none. */
export type Kept = (address: string) => Effect.Effect<Session, PeerFailure>

interface Entry {
  readonly dialled: Deferred.Deferred<Session, PeerFailure>
  session: Session | undefined
}

export const make = (
  dial: (address: string) => Effect.Effect<Session, PeerFailure, Scope.Scope>
): Effect.Effect<Kept, never, Scope.Scope> =>
  Effect.gen(function* () {
    const entries = new Map<string, Entry>()
    const fork = yield* FiberSet.makeRuntime()

    const keep = (address: string, entry: Entry) =>
      Effect.gen(function* () {
        const session = yield* dial(address)
        entry.session = session
        yield* Deferred.succeed(entry.dialled, session)
        yield* session.ended
      }).pipe(
        Effect.scoped,
        Effect.catchAll((failure) => Effect.asVoid(Deferred.fail(entry.dialled, failure))),
        Effect.ensuring(
          Effect.sync(() => {
            if (entries.get(address) === entry) entries.delete(address)
          })
        )
      )

    return (address) =>
      Effect.flatMap(Deferred.make<Session, PeerFailure>(), (dialled) => {
        const known = entries.get(address)
        // one that is closing is no longer the one to ask
        if (known !== undefined && known.session?.isOpen() !== false) return Deferred.await(known.dialled)
        const entry: Entry = { dialled, session: undefined }
        entries.set(address, entry)
        fork(keep(address, entry))
        return Deferred.await(dialled)
      })
  })
