/** A StateStore of our own: the four operations over a Map, compare-and-set by a counter. */
import { Effect, Layer, Option } from "effect"
import { StateStore } from "websocketmanager"

const values = new Map<string, StateStore.Versioned>()
let counter = 0
const next = (value: string): StateStore.Versioned => ({ value, version: `v${++counter}` as StateStore.Version })

const write = (key: string, value: string, holds: (present: StateStore.Versioned | undefined) => boolean) =>
  Effect.suspend(() => {
    if (!holds(values.get(key))) return Effect.fail(new StateStore.VersionMismatch({ key }))
    const written = next(value)
    values.set(key, written)
    return Effect.succeed(written.version)
  })

export const stateStore = Layer.succeed(StateStore.StateStore, {
  get: (key) => Effect.sync(() => Option.fromNullable(values.get(key))),
  getMany: (keys) =>
    Effect.sync(() => new Map(keys.flatMap((key) => (values.has(key) ? [[key, values.get(key)!] as const] : [])))),
  create: (key, value) => write(key, value, (present) => present === undefined),
  replace: (key, value, expected) => write(key, value, (present) => present?.version === expected),
  remove: (key, expected) =>
    Effect.suspend(() => {
      if (values.get(key)?.version !== expected) return Effect.fail(new StateStore.VersionMismatch({ key }))
      values.delete(key)
      return Effect.void
    }),
  ping: Effect.void
})
