/** What the health endpoints tell (contract, sections 1 and 5). */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

export interface DependencyHealth {
  /** stateStore | pubsub | lease | manager */
  readonly name: string
  readonly status: "ok" | "degraded"
  /** one line for people, without secrets */
  readonly detail: string
}

export class Health extends Context.Tag("websocketmanager/manager/Health")<
  Health,
  {
    /** False while booting, draining or fenced, and at no other time. A comparison. */
    readonly ready: () => boolean
    /** booting | ready | draining | left | fenced */
    readonly phase: () => string
    /** One line per dependency; asks each, at most a second. */
    readonly report: Effect.Effect<ReadonlyArray<DependencyHealth>>
    /** Calls back when `ready` may have changed. */
    readonly onChange: (listener: (ready: boolean) => void) => () => void
  }
>() {}
