/**
 * Takes over what instances that have ended owned (src/ownership/README.md, Taking over): it emits claims, the manager
 * starts them. Membership says which instances have ended.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import * as Pacer from "../common/Pacer.js"
import type { SettingsShape } from "../config/SettingsShape.js"
import type { Lease } from "../membership/lease/Lease.js"
import type { Victim } from "../membership/Membership.js"
import type { OrphanClaim } from "./records/OwnedConnection.js"
import type { StoreContext } from "./records/StoreContext.js"
import { ClaimGate } from "./takeover/ClaimGate.js"
import * as IndexCleanup from "./takeover/IndexCleanup.js"
import { sweep } from "./takeover/StraySweep.js"
import { takeOver, type TakeoverContext } from "./takeover/Takeover.js"

export class Reclaimer extends Context.Tag("websocketmanager/ownership/Reclaimer")<
  Reclaimer,
  {
    /**
     * What this instance takes over, under its present incarnation. Run it while this incarnation may take work: once what
     * a former incarnation left is claimed, and no longer than the incarnation lasts. When `stop` is done no claim begins
     * any more. It ends as soon as those that had begun are settled and taken, after three seconds at most. An interruption
     * leaves what is under way to the next claimer: no id leaves a page by it.
     */
    readonly claims: (stop: Effect.Effect<void>) => Stream.Stream<OrphanClaim>
  }
>() {}

/** Connections that are claimed together, at most. */
const GROUP = 32
/** Claims that wait for the manager; the next ones wait for these. */
const WAITING = 64
/** For claims that have begun when the instance takes no work any more. */
const SETTLE = "3 seconds"

export const make = (
  context: StoreContext,
  lease: Lease["Type"],
  settings: Pick<SettingsShape, "claimRate" | "reclaimInterval">
): Reclaimer["Type"] => {
  const pacer = Pacer.make(() => context.elapsed.mark().monotonic)
  const { membership } = context
  // a slow pace has small steps
  const group = Math.min(GROUP, Math.max(1, Math.floor(settings.claimRate / 16)))

  const claims = (stop: Effect.Effect<void>) =>
    Effect.gen(function* () {
      const adopted = Effect.gen(function* () {
        yield* lease.awaitHeld
        const { tenure } = context
        if (tenure === undefined) return yield* Effect.never
        // an incarnation that ends before has nothing to claim, and its run ends with it
        return yield* Effect.orElse(Effect.as(Deferred.await(tenure.adopted), tenure), () => Effect.never)
      })
      const tenure = yield* Effect.raceFirst(adopted, Effect.as(stop, undefined))
      if (tenure === undefined) return Stream.empty
      const claimed = yield* Mailbox.make<OrphanClaim>(WAITING)
      const gate = new ClaimGate()
      const services: TakeoverContext = {
        context,
        tenure,
        pace: (claims) => pacer.take(settings.claimRate, claims),
        group,
        live: () => membership.live().map(({ id }) => id),
        interval: Duration.toMillis(settings.reclaimInterval),
        deliver: (one) => Effect.asVoid(claimed.offer(one)),
        gate
      }
      const begun = new Set<string>()
      const fork = yield* FiberSet.makeRuntime<never>()
      const { essential } = context.essentials
      fork(essential("tidying of the index", IndexCleanup.tidy(context.store, tenure.life)))
      fork(essential("sweep of my pages", sweep(services)))
      const begin = (victim: Victim) =>
        Effect.sync(() => {
          if (victim.id === context.instanceId || begun.has(victim.incarnation)) return
          begun.add(victim.incarnation)
          fork(
            Effect.ensuring(
              essential("takeover", takeOver(services, victim)),
              Effect.sync(() => begun.delete(victim.incarnation))
            ).pipe(Effect.annotateLogs({ victim: victim.id }))
          )
        })
      // the stream begins with all that were found so far
      yield* Effect.forkScoped(essential("hearing of victims", Stream.runForEach(membership.victims, begin)))
      yield* Effect.forkScoped(
        stop.pipe(Effect.zipRight(Effect.timeoutOption(gate.close, SETTLE)), Effect.zipRight(claimed.end))
      )
      return Mailbox.toStream(claimed)
    })
  return { claims: (stop) => Stream.unwrapScoped(claims(stop)) }
}
