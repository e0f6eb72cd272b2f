/**
 * Follows the lease through this instance's lives: after each joining it claims what a former life left, at each end it
 * stops acting for everything at once. Between a fence and the next life nothing is dialled, sent or published.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { Life } from "../membership/Lease.js"
import { leaseLossRule } from "./Acting.js"
import { claimFormer, endLife } from "./Adoption.js"
import type { Core } from "./Core.js"
import { dropWaiting } from "./Publishing.js"

export const follow = (core: Core, settled: Effect.Latch): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const ends = yield* Queue.unbounded<Life>()
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        core.lease.onChange((change, life) => {
          if (change === "held") return
          // Synchronous: the sockets are closed before anything else runs, and before the lease's expiry.
          for (const c of core.connections.values()) {
            if (c.owned.life !== life) continue
            if (change === "lost" && leaseLossRule(c, core.settings.onLeaseLoss) === "continue") continue
            c.cutForLease = true
            c.session?.terminate()
            if (change === "lost") dropWaiting(core, c)
          }
          if (change === "ended") Queue.unsafeOffer(ends, life)
        })
      ),
      (unsubscribe) => Effect.sync(unsubscribe)
    )
    const lives = Effect.gen(function* () {
      for (;;) {
        const life = yield* core.lease.awaitHeld
        core.events.emit("instance-joined", undefined, { address: core.address, incarnation: life.incarnation })
        yield* claimFormer(core)
        yield* settled.open
        core.phase.set("ready")
        while ((yield* Queue.take(ends)) !== life) continue
        core.phase.set("fenced")
        // Who leaves has no next life to wait for.
        if (core.phase.get() === "fenced") yield* settled.close
        yield* endLife(core, life)
      }
    })
    yield* Effect.forkScoped(lives)
  })
