/**
 * The way between one instance and the store, which can be slow, cut, or lose what it carries. What is under way goes on
 * whatever becomes of the instance: a write may land after its caller gave up, or died.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { StateStoreUnavailable } from "../domain/Errors.js"
import type { StateStore } from "../ports/StateStore.js"
import type { TestRuntime } from "./TestRuntime.js"

type Store = StateStore["Type"]

/** One call to the store, for the function that decides its fate. */
export interface StoreCall {
  /** of the port */
  readonly operation: "get" | "getMany" | "create" | "replace" | "remove" | "ping"
  /** of getMany its keys, joined by a space; of ping empty */
  readonly key: string
}

/** What becomes of one call, milliseconds; `{}` is lost without a trace. */
export interface Fate {
  /** until the store does it; undefined: it never gets there */
  readonly arrives?: number
  /** from then until the answer is back; undefined: no answer */
  readonly answers?: number
  /** the store refuses it at once: nothing is done */
  readonly refused?: boolean
}

const IMMEDIATE: Fate = { arrives: 0, answers: 0 }

export interface FaultyStoreOptions {
  readonly ground: TestRuntime
  readonly inner: Store
  /** how long an answer is waited for, milliseconds of the ground's clock */
  readonly deadlineMs: number
  /** asked for each call */
  readonly fate?: ((call: StoreCall) => Fate) | undefined
  /** whether an answer gets through at this moment */
  readonly reachable?: () => boolean
}

export const isWrite = ({ operation }: StoreCall): boolean =>
  operation === "create" || operation === "replace" || operation === "remove"

/** A handle at the instance's end of the way. */
export const make = ({ deadlineMs, fate, ground, inner, reachable = () => true }: FaultyStoreOptions): Store => {
  const call = <A, E>(
    operation: StoreCall["operation"],
    key: string,
    effect: Effect.Effect<A, E>
  ): Effect.Effect<A, E | StateStoreUnavailable> =>
    Effect.async((resume) => {
      const asked: StoreCall = { operation, key }
      const { answers, arrives, refused = false } = fate?.(asked) ?? IMMEDIATE
      if (refused) return resume(Effect.fail(new StateStoreUnavailable({ reason: "told to refuse" })))
      let over = false
      const end = (exit: Effect.Effect<A, E | StateStoreUnavailable>) => {
        if (over) return
        over = true
        cancel()
        resume(exit)
      }
      const cancel = ground.after(deadlineMs, () =>
        end(
          Effect.fail(
            new StateStoreUnavailable({
              reason: `no answer within ${deadlineMs} ms`,
              ...(isWrite(asked) && { outcome: "unknown" as const })
            })
          )
        )
      )
      const answer = (exit: Exit.Exit<A, E>) => {
        if (answers === undefined) return
        if (answers === 0) {
          if (reachable()) end(exit)
        } else ground.after(answers, () => reachable() && end(exit))
      }
      const arrive = () => ground.run(Effect.map(Effect.exit(effect), answer))
      if (arrives === 0) arrive()
      else if (arrives !== undefined) ground.after(arrives, arrive)
      return Effect.sync(() => {
        over = true
        cancel()
      })
    })

  return {
    get: (key) => call("get", key, inner.get(key)),
    getMany: (keys) => call("getMany", keys.join(" "), inner.getMany(keys)),
    create: (key, value, options) => call("create", key, inner.create(key, value, options)),
    replace: (key, value, expected, options) => call("replace", key, inner.replace(key, value, expected, options)),
    remove: (key, expected) => call("remove", key, inner.remove(key, expected)),
    ping: call("ping", "", inner.ping)
  }
}
