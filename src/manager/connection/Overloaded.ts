/** What an instance does when its heap is nearly full: it refuses new calls, and reads no more of the largest connections. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { QuotaExceeded } from "../../domain/Errors.js"
import type { Overload } from "../../observability/Overload.js"
import type { ConnectionManager } from "../ConnectionManager.js"
import type { LocalManager } from "../LocalManager.js"
import type { ConnectionTable } from "./ConnectionTable.js"
import type { ManagedConnection } from "./ManagedConnection.js"

type Manager = ConnectionManager["Type"]

/** Which set memory free. */
const ALWAYS: ReadonlySet<string> = new Set(["disconnect", "drain"] satisfies ReadonlyArray<keyof Manager>)

const FULL = new QuotaExceeded({ quota: "memory" })

/** Every operation but those that set memory free is refused while there is none. */
export const refusing = (overload: Overload["Type"], operations: Manager): Manager => {
  const guarded = (call: unknown): unknown =>
    Effect.isEffect(call) ? Effect.suspend(() => (overload.level() === "none" ? call : FULL)) : call
  const entries = Object.entries(operations).map(([name, operation]: [string, unknown]) => {
    if (ALWAYS.has(name)) return [name, operation]
    if (typeof operation !== "function") return [name, guarded(operation)]
    return [name, (...request: ReadonlyArray<unknown>) => guarded(operation(...request))]
  })
  return Object.fromEntries(entries) as Manager
}

/** The same of what peers pass on, and of connections that they would give. */
export const refusingPeers = (overload: Overload["Type"], local: LocalManager["Type"]): LocalManager["Type"] => {
  const whenFree = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E | QuotaExceeded> =>
    Effect.suspend((): Effect.Effect<A, E | QuotaExceeded> => (overload.level() === "none" ? call : FULL))
  const { handover } = local
  return {
    operations: refusing(overload, local.operations),
    connectAgain: (request) => whenFree(local.connectAgain(request)),
    send: (request, onSent) => whenFree(local.send(request, onSent)),
    handover: {
      ...handover,
      take: (from, offered) =>
        Effect.suspend(() => (overload.level() === "none" ? handover.take(from, offered) : Effect.succeed(false)))
    }
  }
}

/** Paused at each look, until together they hold half of what waits; all go on once there is room again. */
export const pausing = (
  overload: Overload["Type"],
  connections: ConnectionTable
): Effect.Effect<void, never, Scope.Scope> => {
  const paused = new Set<ManagedConnection>()
  const look = (level: string): void => {
    if (level !== "feeds") {
      for (const c of paused) if (!c.paused) c.session?.resume()
      return paused.clear()
    }
    const all = [...connections.values()].map((c) => ({ c, bytes: c.lane?.pendingBytes() ?? 0 }))
    all.sort((a, b) => b.bytes - a.bytes)
    let rest = all.reduce((sum, { bytes }) => sum + bytes, 0) / 2
    for (const { bytes, c } of all) {
      if (rest <= 0 || bytes === 0) break
      rest -= bytes
      paused.add(c)
      c.session?.pause()
    }
  }
  return Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => overload.onLook(look)),
      (stop) => Effect.sync(stop)
    )
  )
}
