import * as Effect from "effect/Effect"

/**
 * Lets timers and sockets have their turn. Fibers alone would keep the event loop to themselves as long as the store
 * answers without waiting. Thousands of writes in a row cost the heartbeat its beat.
 */
export const yieldToEventLoop: Effect.Effect<void> = Effect.async((resume) => {
  const turn = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(turn))
})
