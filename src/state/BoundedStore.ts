/**
 * A store whose every call ends (S09), also when an adapter does not keep that promise. A call that waits for ever holds a
 * page, a record or the id of an instance.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { DeadlineQueue, type Pending } from "../common/DeadlineQueue.js"
import { interruptWith } from "../common/InterruptWith.js"
import { steadyMillis } from "../common/SuspendAwareClock.js"
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

/** Of all calls that have so long, by Effect's clock. */
const deadline = (millis: number) =>
  Effect.gen(function* () {
    const now = steadyMillis(yield* Effect.clock)
    const run = yield* FiberSet.makeRuntime<never>()
    const calls = new DeadlineQueue(millis, {
      now,
      after: (wait, ring) => void run(Effect.zipRight(Effect.sleep(Math.ceil(wait)), Effect.sync(ring)))
    })
    return (error: StateStoreUnavailable) =>
      interruptWith<StateStoreUnavailable>((cut) => {
        const call: Pending = { endsAt: 0, late: () => cut(error) }
        calls.add(call)
        return () => calls.remove(call)
      })
  })
