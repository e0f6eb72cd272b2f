/** When the caller stops waiting, where its door knows: a gRPC deadline, a forwarded call's rest. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Milliseconds since 1970; Infinity where the door knows of none. */
export class CallDeadline extends Context.Reference<CallDeadline>()("websocketmanager/manager/CallDeadline", {
  defaultValue: () => Infinity
}) {}

/** What a caller without a deadline is taken to wait. */
const DEFAULT_WAIT = 60_000

/** Milliseconds the caller will still wait. */
export const remaining: Effect.Effect<number> = Effect.gen(function* () {
  const at = yield* CallDeadline
  return at === Infinity ? DEFAULT_WAIT : at - (yield* Clock.currentTimeMillis)
})
