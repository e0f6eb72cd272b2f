/**
 * Takes over what instances that have ended owned (architecture, section 2, Taking over): it emits claims, the manager
 * starts them. Who has ended is Membership's to say.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { SettingsShape } from "../config/Settings.js"
import type { Lease } from "../membership/Lease.js"
import type { Claimed } from "./ConnectionStore.js"
import * as IndexEntries from "./IndexEntries.js"
import * as Pace from "./Pace.js"
import type { Room } from "./Room.js"
import { sweep } from "./Sweep.js"
import { takeOver, type TakeoverServices } from "./Takeover.js"

export class Reclaimer extends Context.Tag("websocketmanager/ownership/Reclaimer")<
  Reclaimer,
  {
    /**
     * What this instance takes over, under its present life. Run it while this life may take work: once what a former life
     * left is claimed, not while draining, and no longer than the life lasts. It does not end by itself. An interruption
     * leaves whatever is under way to whoever comes: no id leaves a page by it.
     */
    readonly claims: Stream.Stream<Claimed>
  }
>() {}

/** Connections that are claimed together, at most. */
const GROUP = 32
/** Claims that wait for the manager; the next ones wait for these. */
const WAITING = 64

export const make = (
  room: Room,
  lease: Lease["Type"],
  settings: Pick<SettingsShape, "claimRate" | "reclaimInterval">
): Reclaimer["Type"] => {
  const pace = Pace.make(settings.claimRate, room.elapsed)
  const { membership } = room
  // a slow pace has small steps
  const group = Math.min(GROUP, Math.max(1, Math.floor(settings.claimRate / 16)))

  const claims = Effect.gen(function* () {
    yield* lease.awaitHeld
    const { tenure } = room
    if (tenure === undefined) return Stream.never
    yield* Deferred.await(tenure.adopted)
    const claimed = yield* Effect.acquireRelease(Queue.bounded<Claimed>(WAITING), Queue.shutdown)
    const services: TakeoverServices = {
      room,
      tenure,
      pace,
      group,
      live: () => membership.live().map(({ id }) => id),
      interval: Duration.toMillis(settings.reclaimInterval),
      deliver: (one) => Effect.asVoid(Queue.offer(claimed, one))
    }
    const begun = new Set<string>()
    const fork = yield* FiberSet.makeRuntime<never>()
    fork(Effect.ignoreLogged(IndexEntries.tidy(room.store, tenure.life)))
    fork(guarded("the sweep of my pages", sweep(services)))
    yield* Effect.forkScoped(
      Stream.runForEach(membership.victims, (victim) =>
        Effect.sync(() => {
          if (victim.id === room.instanceId || begun.has(victim.incarnation)) return
          begun.add(victim.incarnation)
          fork(guarded(`taking over instance ${victim.id}`, takeOver(services, victim)))
        })
      )
    )
    return Stream.fromQueue(claimed)
  })
  return { claims: Stream.unwrapScoped(claims) }
}

/** A defect is said, and tried again. */
const guarded = (what: string, work: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.catchAllDefect(work, (defect) =>
    Effect.logError(`${what} failed and begins again`, defect).pipe(
      Effect.zipRight(Effect.sleep("1 second")),
      Effect.zipRight(Effect.suspend(() => guarded(what, work)))
    )
  )
