/**
 * Calls a URL at a random interval for as long as the layer lives: keeps awake a host that stops idle services. Off unless a
 * URL is set; a failure is logged and never ends it.
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { Settings } from "../../config/Settings.js"
import { redactUrlsIn } from "../../domain/secrets/Redact.js"
import { withoutUserinfo } from "../../domain/secrets/Userinfo.js"
import { Essentials } from "../../observability/Essentials.js"

class CallFailed extends Data.TaggedError("CallFailed")<{ readonly reason: string }> {}

const CALL_TIMEOUT = "10 seconds"

const call = (given: string): Effect.Effect<void, CallFailed> =>
  Effect.tryPromise({
    try: async (signal) => {
      const { authorization, url } = withoutUserinfo(given)
      const answer = await fetch(url, { signal, headers: authorization === undefined ? {} : { authorization } })
      await answer.body?.cancel()
      return answer.status
    },
    catch: (error) => new CallFailed({ reason: redactUrlsIn(error instanceof Error ? error.message : String(error)) })
  }).pipe(
    Effect.timeoutFail({ duration: CALL_TIMEOUT, onTimeout: () => new CallFailed({ reason: "no answer in time" }) }),
    Effect.flatMap((status) => (status < 400 ? Effect.void : new CallFailed({ reason: `it answered ${status}` })))
  )

export const layer: Layer.Layer<never, never, Settings | Essentials> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { keepaliveMax, keepaliveMin, keepaliveUrl } = yield* Settings
    if (keepaliveUrl === "") return
    const { essential } = yield* Essentials
    const pause = Effect.flatMap(
      Random.nextRange(Duration.toMillis(keepaliveMin), Duration.toMillis(keepaliveMax)),
      (millis) => Effect.sleep(Duration.millis(millis))
    )
    yield* pause.pipe(
      Effect.zipRight(call(keepaliveUrl)),
      // the URL may carry a secret: it is not told
      Effect.catchTag("CallFailed", ({ reason }) => Effect.logWarning(`the self keep-alive call failed: ${reason}`)),
      Effect.forever,
      (loop) => essential("self keep-alive", loop),
      Effect.annotateLogs({ room: "api/http", fiber: "KeepAliveLoop" }),
      Effect.interruptible,
      Effect.forkScoped
    )
  })
)
