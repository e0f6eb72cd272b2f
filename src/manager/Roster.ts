/** Tells when the members of the fleet change: one look for all followers. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import type { Essentials } from "../observability/Essentials.js"
import type { Membership } from "../membership/Membership.js"

/** How often the members are looked at. */
const LOOK = "500 millis"

export interface Roster {
  /** Done at the next change after the asking. */
  readonly changed: () => Effect.Effect<void>
}

export const make = (
  { members }: Membership["Type"],
  { essential }: Essentials["Type"]
): Effect.Effect<Roster, never, Scope.Scope> =>
  Effect.gen(function* () {
    const names = () =>
      members()
        .map(({ incarnation }) => incarnation)
        .sort()
        .join(" ")
    let change = Deferred.unsafeMake<void>(FiberId.none)
    let known = names()
    const look = Effect.sync(() => {
      const now = names()
      if (now === known) return
      known = now
      const before = change
      change = Deferred.unsafeMake<void>(FiberId.none)
      Deferred.unsafeDone(before, Effect.void)
    })
    yield* Effect.forkScoped(essential("roster", Effect.forever(Effect.delay(look, LOOK))))
    return { changed: () => Deferred.await(change) }
  })
