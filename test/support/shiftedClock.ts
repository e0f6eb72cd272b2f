import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** The clock of now with another wall clock: `ahead` milliseconds more, as after a freeze or when somebody sets it. */
export const shiftedClock = (ahead: () => number): Effect.Effect<Clock.Clock> =>
  Effect.map(Effect.clock, (clock) => {
    const wall = () => clock.unsafeCurrentTimeMillis() + ahead()
    return {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: wall,
      currentTimeMillis: Effect.sync(wall),
      unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
      currentTimeNanos: clock.currentTimeNanos,
      sleep: (duration) => clock.sleep(duration)
    }
  })
