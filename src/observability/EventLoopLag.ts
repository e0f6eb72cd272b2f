/**
 * How long the event loop has been kept from its work: a metric, and the ground for doubting oneself before others.
 *
 * Measured by a timer, not by `monitorEventLoopDelay`. That one loses the delay after each reset. Nor does it tell of a
 * block that has just ended, and code that wakes from the block must know of it then.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Metrics } from "./Metrics.js"

const STEP_MS = 20
const WINDOW_SECONDS = 10

export class EventLoopLag extends Context.Tag("websocketmanager/observability/EventLoopLag")<
  EventLoopLag,
  {
    /** The longest delay of the last ten seconds, milliseconds; a block that ended this instant counts. */
    readonly recentMaxMillis: () => number
  }
>() {
  /** Measures, in real time, as long as the layer lives; feeds `event_loop_lag_seconds`. */
  static readonly layer: Layer.Layer<EventLoopLag, never, Metrics> = Layer.scoped(
    this,
    Effect.gen(function* () {
      const metrics = yield* Metrics
      const { recentMaxMillis } = yield* Effect.acquireRelease(Effect.sync(measure), ({ stop }) => Effect.sync(stop))
      metrics.eventLoopLag(() => [[[], recentMaxMillis() / 1000]])
      return { recentMaxMillis }
    })
  )
}

const measure = () => {
  const seconds = Array.from({ length: WINDOW_SECONDS }, () => 0)
  let second = Math.floor(performance.now() / 1000)
  let turnedAt = performance.now()
  const overdue = () => performance.now() - turnedAt - STEP_MS
  const timer = setInterval(() => {
    const late = overdue()
    turnedAt = performance.now()
    const now = Math.floor(turnedAt / 1000)
    // However long the freeze was, one round empties the window.
    second = Math.max(second, now - WINDOW_SECONDS)
    while (second < now) seconds[++second % WINDOW_SECONDS] = 0
    const at = second % WINDOW_SECONDS
    seconds[at] = Math.max(seconds[at]!, late)
  }, STEP_MS)
  timer.unref()
  return {
    recentMaxMillis: () => Math.max(0, overdue(), ...seconds),
    stop: () => clearInterval(timer)
  }
}
