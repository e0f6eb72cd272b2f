/** What the health endpoints tell (README.md, Doors). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Listeners } from "../common/Listeners.js"
import { Lease } from "../membership/lease/Lease.js"
import { Essentials } from "../observability/Essentials.js"
import { Overload } from "../observability/Overload.js"
import { PubSub } from "../ports/PubSub.js"
import { StateStore } from "../ports/StateStore.js"

/** The stage of an instance's life, as readiness tells it: one value, watched by the health doors. */
export type PhaseName = "booting" | "ready" | "draining" | "left" | "fenced"

/** The stage of this instance, and its listeners. */
export interface Phase {
  /** the present one */
  readonly get: () => PhaseName
  /** The next one; nothing comes after `left`, and only that after `draining`. */
  readonly set: (name: PhaseName) => void
  /** Calls back, synchronously, on each change, until the returned function is called. */
  readonly onChange: (listener: (name: PhaseName) => void) => () => void
}

/** A phase of its own, `booting` at first. */
export const makePhase = (): Phase => {
  let present: PhaseName = "booting"
  const listeners = new Listeners<[name: PhaseName]>()
  return {
    get: () => present,
    set: (name) => {
      // Nothing comes after leaving: a late fence or join of a process on its way out changes nothing.
      if (name === present || present === "left" || (present === "draining" && name !== "left")) return
      present = name
      listeners.tell(name)
    },
    onChange: listeners.add
  }
}

/** How one thing that the manager stands on does. */
export interface DependencyHealth {
  /** manager | lease | stateStore | pubsub | sidecar, where there is one; then whatever is in trouble, by its own name */
  readonly name: string
  /** `degraded`: it gave no good answer just now */
  readonly status: "ok" | "degraded"
  /** one line for people, without secrets */
  readonly detail: string
}

/** How long a dependency may take to answer before it is called degraded. */
const DEPENDENCY_TIMEOUT = "1 second"

/** The phase of this instance. */
export class CurrentPhase extends Context.Tag("websocketmanager/manager/CurrentPhase")<CurrentPhase, Phase>() {
  /** `booting`, until something says otherwise. */
  static readonly layer = Layer.sync(CurrentPhase, makePhase)
}

/** What a backing stands on beside store and bus, asked for `/health` like these: nothing unless it says so. */
export class Dependencies extends Context.Reference<Dependencies>()("websocketmanager/manager/Dependencies", {
  defaultValue: (): ReadonlyArray<Dependency> => []
}) {}

/** Something that a backing stands on, and how to ask it. */
export interface Dependency {
  /** as `/health` calls it */
  readonly name: string
  /** succeeds when it serves */
  readonly ping: Effect.Effect<void, { readonly message: string }>
}

/** Whether this instance takes work, and what is in trouble. */
export class Health extends Context.Tag("websocketmanager/manager/Health")<
  Health,
  {
    /** False while booting, draining or fenced, and at no other time. A comparison. */
    readonly ready: () => boolean
    /** booting | ready | draining | left | fenced */
    readonly phase: () => string
    /** One line per dependency, which is asked for at most a second; and one for all that is in trouble. */
    readonly report: Effect.Effect<ReadonlyArray<DependencyHealth>>
    /** Calls back when `ready` may have changed. */
    readonly onChange: (listener: (ready: boolean) => void) => () => void
  }
>() {
  /** By the phase, the lease, and the ports of the program. */
  static readonly layer = Layer.effect(
    Health,
    Effect.gen(function* () {
      const phase = yield* CurrentPhase
      const lease = yield* Lease
      const store = yield* StateStore
      const pubsub = yield* PubSub
      const others = yield* Dependencies
      const { troubles } = yield* Essentials
      const overload = yield* Overload
      const memory = (): ReadonlyArray<DependencyHealth> => {
        const level = overload.level()
        if (level === "none") return []
        const { of, percent } = overload.nearest()
        const detail = `${Math.round(percent)} % of the ${of} limit: ${
          level === "calls" ? "new calls are refused" : "new calls are refused, the largest connections are paused"
        }`
        return [{ name: "memory", status: "degraded", detail }]
      }

      const asked = (name: string, ping: Effect.Effect<void, { readonly message: string }>) =>
        ping.pipe(
          Effect.timeoutFail({
            duration: DEPENDENCY_TIMEOUT,
            onTimeout: () => ({ message: `no answer within ${DEPENDENCY_TIMEOUT}` })
          }),
          Effect.match({
            onFailure: ({ message }): DependencyHealth => ({ name, status: "degraded", detail: message }),
            onSuccess: (): DependencyHealth => ({ name, status: "ok", detail: "answers" })
          })
        )
      const held = Effect.sync((): DependencyHealth => {
        const valid = lease.valid()
        const rest = (lease.life().remaining() / 1000).toFixed(1)
        return {
          name: "lease",
          status: valid ? "ok" : "degraded",
          detail: valid ? `held for another ${rest} s` : "not held: nothing may be dialled, sent or published"
        }
      })
      const manager = Effect.sync((): DependencyHealth => {
        const name = phase.get()
        return { name: "manager", status: name === "ready" ? "ok" : "degraded", detail: name }
      })

      return {
        ready: () => phase.get() === "ready",
        phase: phase.get,
        report: Effect.map(
          Effect.all(
            [
              manager,
              held,
              asked("stateStore", store.ping),
              asked("pubsub", pubsub.ping),
              ...others.map(({ name, ping }) => asked(name, ping))
            ],
            { concurrency: "unbounded" }
          ),
          (lines) => [
            ...lines,
            ...memory(),
            ...troubles().map(({ detail, name }): DependencyHealth => ({ name, status: "degraded", detail }))
          ]
        ),
        onChange: (listener) => phase.onChange((name) => listener(name === "ready"))
      }
    })
  )
}
