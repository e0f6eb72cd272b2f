/**
 * Connections that are being tried: each until it has been open, or its first dial has failed, for a while without harm.
 * Suspects wait here for their turn (domain/stored/Trial.ts says which are, and why).
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Trial from "../../domain/stored/Trial.js"
import type { ConnectionStore } from "../../ownership/ConnectionStore.js"
import type { ManagedConnection } from "./ManagedConnection.js"

/** Without harm for so long after its first dial: it is no poison, milliseconds. The status waits for it in the store. */
export const HARMLESS_AFTER = 1500
/** Suspects wait no longer for first dials that do not end, milliseconds. */
const FIRST_DIAL_TIMEOUT_MS = 15_000
const PROBATION_POLL_INTERVAL = "250 millis"

interface Tried {
  readonly since: number
  /** when its first dial ended */
  dialledAt: number | undefined
  /** that it is harmless is on its way to the store */
  said: boolean
  /** its owner has ended, or a suspect: others wait for it */
  readonly claimed: boolean
}

export interface Probation {
  /** It is dialled now: looks after it, if its record says that it is being tried. */
  readonly watch: (c: ManagedConnection) => void
  /** A suspect: dialled when its turn comes. */
  readonly later: (c: ManagedConnection) => void
  /** Runs as long as the manager. */
  readonly loop: Effect.Effect<never>
}

interface Needs {
  /** steady milliseconds */
  readonly steady: () => number
  readonly store: ConnectionStore["Type"]
  readonly start: (c: ManagedConnection) => Effect.Effect<void>
}

export const make = ({ start, steady, store }: Needs): Effect.Effect<Probation, never, Scope.Scope> =>
  Effect.map(Effect.makeLatch(false), (wake) => {
    const tried = new Map<ManagedConnection, Tried>()
    const waiting = new Set<ManagedConnection>()

    const watch = (c: ManagedConnection): void => {
      // a connection that Reconnect asks for is dialled before its turn has come
      waiting.delete(c)
      const { trial } = c.owned.record()
      if (trial?.by !== c.owned.life.incarnation || tried.has(c)) return
      tried.set(c, { since: steady(), dialledAt: undefined, said: false, claimed: c.inherited !== undefined })
      store.tries(c.owned)
      wake.unsafeOpen()
    }

    const look = (): void => {
      const now = steady()
      for (const [c, one] of tried) {
        if (c.isGone() || !c.owned.isOwned()) tried.delete(c)
        else if (one.dialledAt === undefined && c.firstDial?.isDone === true) one.dialledAt = now
        if (one.dialledAt === undefined || now - one.dialledAt < HARMLESS_AFTER) continue
        // until that is in the store, the end of a suspect would be held against this one too
        if (c.owned.record().trial?.by !== c.owned.life.incarnation) tried.delete(c)
        else if (!one.said) {
          one.said = true
          store.harmless(c.owned)
        }
      }
      for (const c of waiting) if (c.isGone() || !c.owned.isOwned()) waiting.delete(c)
    }

    const free = (): boolean => {
      const now = steady()
      for (const { claimed, since } of tried.values()) if (claimed && now - since < FIRST_DIAL_TIMEOUT_MS) return false
      return true
    }

    const tryNext = Effect.suspend(() => {
      const suspects = [...waiting].map((c) => ({ c, deaths: c.owned.record().trial?.deaths ?? 0 }))
      const group = Trial.nextGroup(suspects)
      return Effect.forEach(
        group,
        ({ c, deaths }) => {
          const { incarnation } = c.owned.life
          // before the dial: a death names it
          const trial = { by: incarnation, deaths, alone: group.length === 1 }
          return store.update(c.owned, { trial }).pipe(
            Effect.zipRight(
              Effect.suspend(() => {
                // Reconnect asked for it meanwhile: it has a dial, or a socket, that must not be cut
                if (!waiting.has(c)) return Effect.void
                watch(c)
                return start(c)
              })
            ),
            // not here any more, or the store is away: it is tried again
            Effect.catchAll((error) => Effect.logDebug(`connection ${c.id} cannot be tried yet`, error))
          )
        },
        { concurrency: 16, discard: true }
      )
    })

    return {
      watch,
      later: (c) => {
        waiting.add(c)
        wake.unsafeOpen()
      },
      loop: Effect.gen(function* () {
        yield* wake.await
        look()
        if (waiting.size > 0 && free()) yield* tryNext
        if (tried.size > 0 || waiting.size > 0) return yield* Effect.sleep(PROBATION_POLL_INTERVAL)
        // in the same step: no connection is added between the look and this
        wake.unsafeClose()
      }).pipe(Effect.forever)
    }
  })
