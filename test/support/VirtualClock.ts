/**
 * A clock that a test moves, like Effect's TestClock, and a hundred times as fast: it does not wait in real time for every
 * timer, only until nothing is left to do at this instant. For programs that await nothing but timers and each other.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

interface Timer {
  readonly at: number
  readonly fire: () => void
}

/** Turns of the event loop in which nothing may be left to do. */
const TURNS = 4

export class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  readonly currentTimeMillis = Effect.sync(() => this.now)
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())
  /** sorted by time; of the same time the older first */
  private readonly timers: Array<Timer> = []

  constructor(private now = 0) {}

  unsafeCurrentTimeMillis(): number {
    return this.now
  }
  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.now * 1e6))
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const timer = { at: this.now + Duration.toMillis(duration), fire: () => resume(Effect.void) }
      const place = this.timers.findIndex(({ at }) => at > timer.at)
      this.timers.splice(place < 0 ? this.timers.length : place, 0, timer)
      return Effect.sync(() => {
        const index = this.timers.indexOf(timer)
        if (index >= 0) this.timers.splice(index, 1)
      })
    })
  }

  /** Fires what is due until then, one after another. */
  advance(duration: Duration.DurationInput): Effect.Effect<void> {
    return Effect.promise(async () => {
      const until = this.now + Duration.toMillis(duration)
      await settle()
      for (let next = this.timers[0]; next !== undefined && next.at <= until; next = this.timers[0]) {
        this.timers.shift()
        this.now = Math.max(this.now, next.at)
        next.fire()
        await settle()
      }
      this.now = until
      await settle()
    })
  }
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve))
}
