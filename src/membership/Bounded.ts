/**
 * A store whose every call ends (S09), also when an adapter does not keep that promise: who waits for ever holds a page, a
 * record or the id of an instance.
 */
import * as Effect from "effect/Effect"
import { StateStoreUnavailable } from "../domain/Errors.js"
import type { StateStore } from "../ports/StateStore.js"

type Store = StateStore["Type"]

const DEADLINE = "2 seconds"
/** of a read of many keys */
const LONG_DEADLINE = "10 seconds"

const read = new StateStoreUnavailable({ reason: "no answer in time" })
const written = new StateStoreUnavailable({ outcome: "unknown", reason: "no answer in time" })

export const bounded = (store: Store): Store => {
  const within =
    (error: StateStoreUnavailable, duration: "2 seconds" | "10 seconds" = DEADLINE) =>
    <A, E>(call: Effect.Effect<A, E>) =>
      Effect.timeoutFail(call, { duration, onTimeout: () => error })
  return {
    get: (key) => within(read)(store.get(key)),
    getMany: (keys) => within(read, LONG_DEADLINE)(store.getMany(keys)),
    create: (key, value, options) => within(written)(store.create(key, value, options)),
    replace: (key, value, expected, options) => within(written)(store.replace(key, value, expected, options)),
    remove: (key, expected) => within(written)(store.remove(key, expected)),
    ping: within(read)(store.ping)
  }
}
