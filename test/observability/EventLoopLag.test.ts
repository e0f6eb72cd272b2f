import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { setTimeout as wait } from "node:timers/promises"
import { EventLoopLag } from "../../src/observability/EventLoopLag.js"
import { Metrics } from "../../src/observability/Metrics.js"

const block = (millis: number) => {
  const end = performance.now() + millis
  while (performance.now() < end);
}

it.scopedLive("a block of the event loop shows at once, stays in sight, and is the metric", () =>
  Effect.gen(function* () {
    const { recentMaxMillis } = yield* EventLoopLag
    const metrics = yield* Metrics
    block(800)
    // Nothing has run since: only how late the next turn is can tell.
    const atOnce = recentMaxMillis()
    expect(atOnce).toBeGreaterThan(500)
    yield* Effect.promise(() => wait(600))
    const later = recentMaxMillis()
    expect(later).toBeGreaterThan(700)
    expect(later).toBeLessThan(5000)
    const family = metrics.collect().find(({ name }) => name === "websocketmanager_event_loop_lag_seconds")
    expect(family?.samples[0]?.value).toBeGreaterThan(0.7)
  }).pipe(Effect.provide(Layer.provideMerge(EventLoopLag.layer, Metrics.layer)))
)
