/**
 * Elapsed time for one's own lease: the larger of what the monotonic and the wall clock say. The monotonic clock of a
 * suspended machine may stand still. A wall clock that is set forward costs a lease, never a promise.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/**
 * Milliseconds of Effect's clock that never go back. A wall clock that is set must neither hold anything up nor make
 * anything come in a burst. Only to be compared with itself.
 */
export const steadyMillis = (clock: Clock.Clock) => (): number => Number(clock.unsafeCurrentTimeNanos()) / 1_000_000

/** A moment on both clocks, milliseconds. */
export interface Instant {
  readonly monotonic: number
  readonly wall: number
}

export interface SuspendAwareClock {
  readonly mark: () => Instant
  /** Milliseconds since then; a subtraction and a comparison. */
  readonly since: (mark: Instant) => number
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export const fromClock = (clock: Clock.Clock): SuspendAwareClock => {
  const monotonic = steadyMillis(clock)
  const now = () => clock.unsafeCurrentTimeMillis()
  return {
    now,
    mark: () => ({ monotonic: monotonic(), wall: now() }),
    since: (mark) => Math.max(monotonic() - mark.monotonic, now() - mark.wall)
  }
}

/** From the clock in effect where this is run: the TestClock drives it. */
export const make: Effect.Effect<SuspendAwareClock> = Effect.map(Effect.clock, fromClock)
