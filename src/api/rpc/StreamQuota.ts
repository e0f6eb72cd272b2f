/** At most so many streams at once on this instance, over all doors together: one more is refused, none waits. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { QuotaExceeded } from "../../domain/Errors.js"

export const MAX_STREAMS = 1_000

export class StreamQuota extends Context.Tag("websocketmanager/api/rpc/StreamQuota")<
  StreamQuota,
  {
    /** Takes one place until the scope closes. */
    readonly take: Effect.Effect<void, QuotaExceeded, Scope.Scope>
    readonly open: () => number
  }
>() {}

export const make = (limit: number): StreamQuota["Type"] => {
  let open = 0
  return {
    open: () => open,
    take: Effect.acquireRelease(
      Effect.suspend(() => {
        if (open >= limit) return new QuotaExceeded({ quota: "streams" })
        open += 1
        return Effect.void
      }),
      () => Effect.sync(() => (open -= 1))
    )
  }
}

export const layer: Layer.Layer<StreamQuota> = Layer.sync(StreamQuota, () => make(MAX_STREAMS))
