/**
 * Counts the operations of a state store, whichever adapter it is: wrapped around the store where the backing is chosen.
 *
 * ```ts
 * counted(store, (operation, outcome) => metrics.stateOperations(operation, outcome).add(1))
 * ```
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import type { StateStore } from "../ports/StateStore.js"

export type StateOperation = "get" | "getMany" | "create" | "replace" | "remove"
export type StateOutcome = "ok" | "mismatch" | "unavailable"

/** The same store, counted. A value refused for its size is no operation; a caller that gave up waiting met `unavailable`. */
export const counted = (
  store: StateStore["Type"],
  count: (operation: StateOperation, outcome: StateOutcome) => void
): StateStore["Type"] => {
  const counting =
    (operation: StateOperation) =>
    <A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.onExit(effect, (exit) =>
        Effect.sync(() => {
          const outcome = outcomeOf(exit)
          if (outcome !== undefined) count(operation, outcome)
        })
      )
  return {
    get: (key) => counting("get")(store.get(key)),
    getMany: (keys) => counting("getMany")(store.getMany(keys)),
    create: (key, value, options) => counting("create")(store.create(key, value, options)),
    replace: (key, value, expected, options) => counting("replace")(store.replace(key, value, expected, options)),
    remove: (key, expected) => counting("remove")(store.remove(key, expected)),
    ping: store.ping
  }
}

const outcomeOf = (exit: Exit.Exit<unknown, { readonly _tag: string }>): StateOutcome | undefined => {
  if (Exit.isSuccess(exit)) return "ok"
  const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
  if (failure?._tag === "VersionMismatch") return "mismatch"
  return failure?._tag === "ValueTooLarge" ? undefined : "unavailable"
}
