/**
 * What stands for the operating system's process of one instance: its fibers run when it lets them, by its own clock.
 *
 * Frozen (SIGSTOP), nothing of it runs, and what comes due waits; dead (SIGKILL), nothing of it runs ever again, not even
 * a finalizer.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scheduler from "effect/Scheduler"
import type { TestRuntime } from "./TestRuntime.js"

/** How a process is played; all may be left out. */
export interface ProcessOptions {
  /** how fast its monotonic clock runs; 1 is right */
  readonly rate?: number
  /** Called right before each step of a fiber: whether the process shall be stopped here. */
  readonly stumbles?: () => boolean
}

/** One process that is played. */
export class SimulatedProcess {
  /** its own: it may be wrong, and stands still while the process is frozen */
  readonly clock: Clock.Clock
  /** runs its fibers when it lets them */
  readonly scheduler: Scheduler.Scheduler
  private state: "running" | "frozen" | "dead" = "running"
  private waiting: Array<() => void> = []
  private readonly timers = new Set<() => void>()
  /** milliseconds that its monotonic clock has stood still */
  private lost = 0
  private stoodAt: number | undefined

  constructor(
    private readonly ground: TestRuntime,
    { rate = 1, stumbles }: ProcessOptions = {}
  ) {
    const { clock, scheduler } = ground
    const start = millis(clock)
    const monotonic = () => ((this.stoodAt ?? millis(clock)) - this.lost - start) * rate
    const nanos = () => BigInt(Math.round(monotonic() * 1e6))
    this.clock = {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
      currentTimeMillis: clock.currentTimeMillis,
      unsafeCurrentTimeNanos: nanos,
      currentTimeNanos: Effect.sync(nanos),
      sleep: (duration) =>
        Effect.async((resume) => Effect.sync(this.timer(Duration.toMillis(duration) / rate, () => resume(Effect.void))))
    }
    this.scheduler = {
      shouldYield: (fiber) => scheduler.shouldYield(fiber),
      scheduleTask: (task, priority, fiber) =>
        scheduler.scheduleTask(
          () => {
            if (this.state === "running" && stumbles?.() === true) this.freeze()
            this.post(task)
          },
          priority,
          fiber
        )
    }
  }

  /** Between `freeze` and `thaw`. */
  get frozen(): boolean {
    return this.state === "frozen"
  }
  /** After `kill`. */
  get dead(): boolean {
    return this.state === "dead"
  }

  /** Runs now, or when it goes on, or never. */
  post(f: () => void): void {
    if (this.state === "running") f()
    else if (this.state === "frozen") this.waiting.push(f)
  }

  /** `suspended`: its monotonic clock stands still meanwhile, as that of a machine that sleeps. */
  freeze(suspended = false): void {
    if (this.state !== "running") return
    this.state = "frozen"
    if (suspended) this.stoodAt = millis(this.ground.clock)
  }

  /** It goes on; what came due meanwhile runs now. */
  thaw(): void {
    if (this.state !== "frozen") return
    this.state = "running"
    if (this.stoodAt !== undefined) this.lost += millis(this.ground.clock) - this.stoodAt
    this.stoodAt = undefined
    const { waiting } = this
    this.waiting = []
    for (const f of waiting) this.post(f)
  }

  /** Nothing of it runs ever again. */
  kill(): void {
    this.state = "dead"
    this.waiting = []
    for (const cancel of this.timers) cancel()
    this.timers.clear()
  }

  /** Nothing of a dead process keeps the test's own process alive. */
  private timer(ms: number, ring: () => void): () => void {
    if (this.state === "dead") return () => {}
    const cancel = this.ground.after(ms, () => {
      this.timers.delete(cancel)
      ring()
    })
    this.timers.add(cancel)
    return () => {
      this.timers.delete(cancel)
      cancel()
    }
  }
}

const millis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6
