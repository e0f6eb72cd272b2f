/**
 * The third stage of leaving: every connection is handed to a live instance, a few at a time, those with the fewest first.
 *
 * As long as all go in time, a connection that breaks before it makes is closed no faster than the targets may dial its
 * host. Its socket is worth more open than in a queue.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Pacer from "../../common/Pacer.js"
import { shouldBeUp } from "../../domain/ConnectionStatus.js"
import type { LivePeer } from "../../membership/peers/MembershipView.js"
import type { ManagedConnection } from "../connection/ManagedConnection.js"
import { leastLoaded } from "./Balance.js"
import { loads, type MigrationContext, targets } from "./Migrate.js"
import type { Closing } from "./MigrationSource.js"

const EVACUATION_CONCURRENCY = 32
/** Between two attempts at what could not be moved. */
const EVACUATION_RETRY_MS = 250
/** The part of the time in which all shall have gone, so that some is left for what fails at first. */
const WITHIN = 0.7

/** With less time than this left, milliseconds, an instance that has just joined is better than none. */
const HURRY = 10_000

export interface EvacuationContext {
  moved: number
  /** could not be moved yet */
  failed: number
}

/** Until nothing is left, no instance is there to take it, or the time is up (`until`, steady milliseconds). */
export const evacuate = (
  fleet: MigrationContext,
  closing: Closing,
  until: number,
  progress: EvacuationContext
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { core, source } = fleet
    const known = yield* Effect.either(Effect.timeout(loads(fleet), "1 second"))
    const load = Either.getOrElse(known, () => new Map<string, number>())
    const expect = (id: string, n: number) => load.set(id, (load.get(id) ?? 0) + n)
    const timeLeft = () => until - core.steady()

    const pacers = new Map<string, { readonly pacer: Pacer.Pacer; readonly perSecond: number }>()
    const pace = (waiting: ReadonlyArray<ManagedConnection>, live: ReadonlyArray<LivePeer>): void => {
      const hosts = new Map<string, number>()
      for (const c of waiting) if (breaksFirst(c)) hosts.set(c.spec.hostPort, (hosts.get(c.spec.hostPort) ?? 0) + 1)
      for (const [host, n] of hosts) {
        // this instance has its share of the rate too, and dials nothing
        const dialling = live.filter(({ mayDial }) => mayDial).length || live.length
        const dialled = (core.settings.dialRatePerHost * dialling) / (live.length + 1)
        const needed = (n * 1000) / Math.max(1, timeLeft() * WITHIN)
        const pacer = pacers.get(host)?.pacer ?? Pacer.make(core.steady)
        pacers.set(host, { pacer, perSecond: Math.max(dialled, needed) })
      }
    }
    const turn = (c: ManagedConnection): Effect.Effect<void> =>
      Effect.suspend(() => {
        const paced = breaksFirst(c) ? pacers.get(c.spec.hostPort) : undefined
        const wait = paced === undefined ? 0 : paced.pacer.next(paced.perSecond)
        return wait > 0 ? Effect.sleep(Math.min(wait, Math.max(0, timeLeft()))) : Effect.void
      })

    /**
     * An instance that cannot dial yet would leave the connection without a socket: it waits here instead, as long as there is
     * time.
     */
    const takers = (c: ManagedConnection): ReadonlyArray<LivePeer> => {
      const all = targets(fleet)
      if (!breaksFirst(c)) return all
      const dialling = all.filter(({ mayDial }) => mayDial)
      return dialling.length > 0 || timeLeft() > HURRY ? dialling : all
    }
    const move = (c: ManagedConnection): Effect.Effect<void> =>
      Effect.gen(function* () {
        yield* turn(c)
        const to = leastLoaded(takers(c), (id) => load.get(id) ?? 0)
        if (to === undefined || timeLeft() <= 0) return
        expect(to.id, 1)
        const outcome = yield* source.migrateTo(c, to, closing)
        if (outcome === "migrated") progress.moved++
        else expect(to.id, -1)
        if (outcome === "retained") progress.failed++
      })

    const rounds = Effect.gen(function* () {
      for (;;) {
        const waiting = [...core.connections.values()]
        const live = targets(fleet)
        if (waiting.length === 0 || live.length === 0) return
        progress.failed = 0
        pace(waiting, live)
        yield* Effect.forEach(waiting, move, { concurrency: EVACUATION_CONCURRENCY, discard: true })
        if (core.connections.size > 0) yield* Effect.sleep(EVACUATION_RETRY_MS)
      }
    })
    yield* Effect.timeoutOption(Effect.interruptible(rounds), Math.max(0, timeLeft()))
  })

/** It is open or dialled, and its socket closes before another one opens. */
const breaksFirst = (c: ManagedConnection): boolean =>
  shouldBeUp(c.status) && !(c.spec.makeBeforeBreak && c.session !== undefined)
