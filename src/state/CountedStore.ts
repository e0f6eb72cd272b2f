/**
 * Counts the operations of a state store, and shows them in the trace of the call that costs them. It is wrapped around the
 * store where the backing is chosen.
 *
 * ```ts
 * counted(store, (operation, outcome) => metrics.stateOperations(operation, outcome).add(1))
 * ```
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import { partOfCall } from "../observability/Spans.js"
import type { StateStore } from "../ports/StateStore.js"

export type StateOperation = "get" | "getMany" | "create" | "replace" | "remove"
export type StateOutcome = "ok" | "mismatch" | "unavailable"

/** The same store, counted. A value refused for its size is no operation; a caller that gave up waiting met `unavailable`. */
export const counted = (
  store: StateStore["Type"],
  count: (operation: StateOperation, outcome: StateOutcome) => void
): StateStore["Type"] => {
  const counting =
    (operation: StateOperation, attributes: Readonly<Record<string, unknown>>) =>
    <A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.onExit(effect, (exit) =>
        Effect.sync(() => {
          const outcome = outcomeOf(exit)
          if (outcome !== undefined) count(operation, outcome)
        })
      ).pipe(partOfCall(`state.${operation}`, attributes))
  return {
    get: (key) => counting("get", { key })(store.get(key)),
    getMany: (keys) => counting("getMany", { keys: keys.length })(store.getMany(keys)),
    create: (key, value, options) => counting("create", { key })(store.create(key, value, options)),
    replace: (key, value, expected, options) =>
      counting("replace", { key })(store.replace(key, value, expected, options)),
    remove: (key, expected) => counting("remove", { key })(store.remove(key, expected)),
    ping: store.ping
  }
}

const outcomeOf = (exit: Exit.Exit<unknown, { readonly _tag: string }>): StateOutcome | undefined => {
  if (Exit.isSuccess(exit)) return "ok"
  const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
  if (failure?._tag === "VersionMismatch") return "mismatch"
  return failure?._tag === "ValueTooLarge" ? undefined : "unavailable"
}
