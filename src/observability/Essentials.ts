/**
 * Watches over what must never end unseen: the fibers that an instance lives by, and work that is tried again and again.
 *
 * A fiber that fails is said at ERROR with its cause, counted, and started again after a pause; what has been retried for
 * more than ten seconds is said at WARN, and once a minute. Either stands in `/health`, on a line of its own, until it is over.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { steadyMillis } from "../common/SuspendAwareClock.js"
import { Metrics } from "./Metrics.js"

/** Something that is not as it should be, for people; no secrets. */
export interface Trouble {
  readonly name: string
  readonly detail: string
}

/** Work that is tried again until it succeeds. */
export interface Retrying {
  /** One more try has failed; says so where it is due. The detail is for people, without secrets. */
  readonly failed: (detail: string, failure?: unknown) => Effect.Effect<void>
  /** It has succeeded, or is given up. */
  readonly over: () => void
}

/** From an end to the next start, milliseconds. */
const RESTART_DELAY_MS = 1000
/** A fiber that has run for so long since its last end is well again, milliseconds. */
const WELL_AFTER = 10_000
/** What is retried for longer than this is said, milliseconds; and again each time this long after. */
const RETRY_NOTICE_MS = 10_000
const SAID_EVERY = 60_000
/** Retries that are kept apart by name; what comes beyond them is not told. */
const MAX_NAMED_RETRIES = 256

export class Essentials extends Context.Tag("websocketmanager/observability/Essentials")<
  Essentials,
  {
    /**
     * Runs it until it ends by itself or is interrupted; whatever else ends it starts it again. `name` is one of few: it is a
     * label.
     */
    readonly essential: <R>(name: string, work: Effect.Effect<unknown, unknown, R>) => Effect.Effect<void, never, R>
    /** For a part that restarts by itself: logged, counted and shown in the same way. */
    readonly fell: (name: string, cause: Cause.Cause<unknown>) => Effect.Effect<void>
    /** It is said, and shown, once it has been tried for this long; without a word ten seconds. */
    readonly retrying: (name: string, patienceMs?: number) => Retrying
    /** What is in trouble now. */
    readonly troubles: () => ReadonlyArray<Trouble>
  }
>() {
  static readonly layer: Layer.Layer<Essentials, never, Metrics> = Layer.effect(
    Essentials,
    Effect.gen(function* () {
      const { fiberRestarts } = yield* Metrics
      const clock = yield* Effect.clock
      return make(steadyMillis(clock), (fiber) => fiberRestarts(fiber).add(1))
    })
  )
}

interface Retried {
  readonly since: number
  readonly patience: number
  saidAt: number | undefined
  detail: string
}

/** `now`: milliseconds of a clock that is never set. */
export const make = (now: () => number, restarted: (fiber: string) => void): Essentials["Type"] => {
  const fallen = new Map<string, { at: number; times: number }>()
  const retries = new Map<string, Retried>()

  const fell: Essentials["Type"]["fell"] = (name, cause) =>
    Effect.suspend(() => {
      fallen.set(name, { at: now(), times: (fallen.get(name)?.times ?? 0) + 1 })
      restarted(name)
      return Effect.logError(`${name} has ended by a fault and begins again`, cause)
    })

  const essential = <R>(name: string, work: Effect.Effect<unknown, unknown, R>): Effect.Effect<void, never, R> =>
    Effect.catchAllCause(Effect.asVoid(work), (cause) => {
      if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
      return fell(name, cause).pipe(
        Effect.zipRight(Effect.sleep(RESTART_DELAY_MS)),
        Effect.zipRight(Effect.suspend(() => essential(name, work)))
      )
    })

  const retrying: Essentials["Type"]["retrying"] = (name, patience = RETRY_NOTICE_MS) => ({
    failed: (detail, failure) =>
      Effect.suspend(() => {
        const at = now()
        const before = retries.get(name)
        const one: Retried = before ?? { since: at, patience, saidAt: undefined, detail }
        if (before === undefined && retries.size < MAX_NAMED_RETRIES) retries.set(name, one)
        one.detail = detail
        const due = one.saidAt === undefined ? at - one.since >= patience : at - one.saidAt >= SAID_EVERY
        if (!due) return Effect.void
        one.saidAt = at
        const line = `${name}${after(at - one.since)}: ${detail}`
        return failure === undefined ? Effect.logWarning(line) : Effect.logWarning(line, failure)
      }),
    over: () => void retries.delete(name)
  })

  return {
    essential,
    fell,
    retrying,
    troubles: () => {
      const at = now()
      const troubles: Array<Trouble> = []
      for (const [name, { at: since, times }] of fallen) {
        if (at - since >= RESTART_DELAY_MS + WELL_AFTER) fallen.delete(name)
        else troubles.push({ name, detail: `ended by a fault and begun again, ${times} times: see the log` })
      }
      for (const [name, { detail, patience, since }] of retries) {
        if (at - since >= patience) troubles.push({ name, detail: `${detail}${after(at - since)}` })
      }
      return troubles
    }
  }
}

/** How long it has lasted, where that is worth a word. */
const after = (millis: number): string => (millis < 1000 ? "" : ` (for ${(millis / 1000).toFixed(0)} s)`)
