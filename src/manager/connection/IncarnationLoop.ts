/**
 * Follows the lease through this instance's incarnations. After each joining it claims what a former incarnation left; at
 * each end it stops acting for everything at once. Between a fence and the next incarnation nothing is dialled, sent or
 * published.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Reclaimer } from "../../ownership/Reclaimer.js"
import type { OrphanClaim } from "../../ownership/records/OwnedConnection.js"
import type { Phase } from "../Health.js"
import { dropWaiting } from "./ConnectionLane.js"
import { leaseLossRule } from "./LeasePolicy.js"
import type { ManagerContext } from "./ManagerContext.js"
import { claimFormer, endFormer, take } from "./Registry.js"

export const follow = (
  core: ManagerContext,
  reclaimer: Reclaimer["Type"],
  settled: Effect.Latch
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        core.lease.onChange((change, life) => {
          if (change === "held") return
          // Synchronous: the sockets are closed before anything else runs, and before the lease's expiry.
          for (const c of core.connections.values()) {
            if (c.owned.life !== life) continue
            if (change === "lost" && leaseLossRule(c, core.settings.onLeaseLoss) === "continue") continue
            c.leaseLost()
            const { leaveCode } = c.spec.reconnect
            if (leaveCode !== undefined) c.session?.close(leaveCode, "lease lost")
            c.session?.terminate()
            if (change === "lost") dropWaiting(core, c)
          }
        })
      ),
      (unsubscribe) => Effect.sync(unsubscribe)
    )
    const lives = Effect.gen(function* () {
      for (;;) {
        // of any former incarnation: this may be begun again, and one may have ended meanwhile
        yield* endFormer(core)
        const life = yield* core.lease.awaitHeld
        const me = { instance: core.instanceId, address: core.address, incarnation: life.incarnation }
        core.events.emit("instance-joined", undefined, me)
        const work = Effect.gen(function* () {
          yield* claimFormer(core)
          yield* settled.open
          core.phase.set("ready")
          return yield* takeOver(core, reclaimer)
        })
        yield* Effect.raceFirst(life.awaitEnd, work)
        core.phase.set("fenced")
        // An instance that leaves has no next incarnation to wait for.
        if (core.phase.get() === "fenced") yield* settled.close
      }
    })
    yield* Effect.forkScoped(core.essentials.essential("lives of this instance", lives))
  })

/**
 * Others' connections, as long as this incarnation takes work. An instance that leaves claims nothing more, and takes what it has
 * claimed: its record names this instance, so no other instance would take it. Does not end by itself.
 */
const takeOver = (core: ManagerContext, reclaimer: Reclaimer["Type"]): Effect.Effect<never> => {
  const { claims: claiming } = core
  const takeOne = (claimed: OrphanClaim) =>
    Effect.suspend(() =>
      claiming.closed ? Effect.sync(() => core.store.release(claimed.owned)) : take(core, claimed)
    ).pipe(
      Effect.catchAllCause((cause) =>
        Effect.logError(`connection ${claimed.owned.id} is claimed and cannot be started`, cause)
      )
    )
  const claims = reclaimer.claims(leaving(core.phase)).pipe(
    Stream.runForEach(takeOne),
    Effect.catchAllCause((cause) =>
      Effect.zipRight(core.essentials.fell("taking over connections", cause), Effect.sleep("1 second"))
    ),
    Effect.repeat({ until: () => isLeaving(core.phase) })
  )
  return Effect.zipRight(
    claiming.drained.close,
    Effect.zipRight(Effect.ensuring(claims, claiming.drained.open), Effect.never)
  )
}

const isLeaving = (phase: Phase): boolean => phase.get() === "draining" || phase.get() === "left"

const leaving = (phase: Phase): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const look = () => {
      if (isLeaving(phase)) resume(Effect.void)
    }
    const unsubscribe = phase.onChange(look)
    look()
    return Effect.sync(unsubscribe)
  })
