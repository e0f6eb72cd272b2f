/**
 * A store whose every call ends (S09), also when an adapter does not keep that promise: a call that waits for ever
 * holds a page, a record or the id of an instance.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { interruptWith } from "../common/InterruptWith.js"
import { StateStoreUnavailable } from "../domain/Errors.js"
import type { StateStore } from "../ports/StateStore.js"

type Store = StateStore["Type"]

const DEADLINE_MS = 2000
/** of a read of many keys */
const LONG_DEADLINE_MS = 10_000

const read = new StateStoreUnavailable({ reason: "no answer in time" })
const written = new StateStoreUnavailable({ outcome: "unknown", reason: "no answer in time" })

export const bounded = (store: Store): Effect.Effect<Store, never, Scope.Scope> =>
  Effect.gen(function* () {
    const short = yield* deadline(DEADLINE_MS)
    const long = yield* deadline(LONG_DEADLINE_MS)
    return {
      get: (key) => short(read)(store.get(key)),
      getMany: (keys) => long(read)(store.getMany(keys)),
      create: (key, value, options) => short(written)(store.create(key, value, options)),
      replace: (key, value, expected, options) => short(written)(store.replace(key, value, expected, options)),
      remove: (key, expected) => short(written)(store.remove(key, expected)),
      ping: short(read)(store.ping)
    }
  })

interface Call {
  /** milliseconds of a clock that is never set */
  readonly at: number
  readonly cut: () => void
}

/** One timer for all calls of this length: they come to their deadlines in the order in which they began. */
const deadline = (millis: number) =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const run = yield* FiberSet.makeRuntime<never>()
    const now = () => Number(clock.unsafeCurrentTimeNanos()) / 1e6
    const calls = new Set<Call>()
    let watched = false
    const watch = Effect.gen(function* () {
      for (;;) {
        const [first] = calls
        if (first === undefined) break
        const left = first.at - now()
        if (left > 0) yield* Effect.sleep(Math.ceil(left))
        else first.cut()
      }
      watched = false
    })
    return (error: StateStoreUnavailable) =>
      interruptWith<StateStoreUnavailable>((cut) => {
        const call: Call = { at: now() + millis, cut: () => cut(error) }
        calls.add(call)
        if (!watched) {
          watched = true
          run(watch)
        }
        return () => calls.delete(call)
      })
  })
