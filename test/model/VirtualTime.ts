/**
 * Time that only moves when it is told to, for everything in this thread: fibers, timers, immediates, microtasks that are
 * queued, clocks and random numbers. Between `install` and the function it returns a run is one synchronous call, the same
 * for the same seed.
 */
import crypto from "node:crypto"
import { syncBuiltinESMExports } from "node:module"
import hooks from "node:perf_hooks"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import type * as Scheduler from "effect/Scheduler"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Random from "effect/Random"
import type { TestRuntime } from "../../src/testing/TestRuntime.js"

/** Where every run begins: milliseconds since 1970. */
export const START = Date.UTC(2031, 0, 1)

interface Timer {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
  readonly every: number | undefined
}

export class VirtualTime {
  /** milliseconds since the start of the run */
  now = 0
  steps = 0
  private readonly heap: Array<Timer> = []
  private order = 0
  private tasks: Array<() => void> = []
  private immediates: Array<() => void> = []

  readonly scheduler: Scheduler.Scheduler = {
    shouldYield: (fiber) =>
      fiber.currentOpCount > fiber.getFiberRef(FiberRef.currentMaxOpsBeforeYield)
        ? fiber.getFiberRef(FiberRef.currentSchedulingPriority)
        : false,
    scheduleTask: (task) => void this.tasks.push(task)
  }

  readonly clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => START + this.now,
    currentTimeMillis: Effect.sync(() => START + this.now),
    unsafeCurrentTimeNanos: () => BigInt(Math.round(this.now * 1e6)),
    currentTimeNanos: Effect.sync(() => BigInt(Math.round(this.now * 1e6))),
    sleep: () => Effect.dieMessage("whoever sleeps here belongs into a process")
  }

  constructor(private readonly random: Rng) {}

  get ground(): TestRuntime {
    return {
      clock: this.clock,
      scheduler: this.scheduler,
      after: (ms, f) => this.after(ms, f),
      run: (effect) => this.run(effect)
    }
  }

  /** Runs an effect outside every process, as far as it goes. */
  run(effect: Effect.Effect<unknown>): void {
    Effect.runFork(Effect.withRandom(Effect.withClock(effect, this.clock), Random.make(this.random.int(1 << 30))), {
      scheduler: this.scheduler
    })
  }

  after(ms: number, f: () => void): () => void {
    const timer: Timer = { at: this.now + Math.max(0, ms), order: this.order++, run: f, every: undefined }
    this.push(timer)
    return () => {
      timer.run = undefined
    }
  }

  /** What is ready runs, then the clock goes on to the next timer, until this moment (milliseconds since the start). */
  runUntil(until: number): void {
    this.drain()
    for (let next = this.heap[0]; next !== undefined && next.at <= until; next = this.heap[0]) {
      this.pop()
      const { run } = next
      if (run === undefined) continue
      this.now = Math.max(this.now, next.at)
      this.steps++
      run()
      this.drain()
    }
    this.now = Math.max(this.now, until)
  }

  private drain(): void {
    for (;;) {
      if (this.tasks.length > 0) {
        const { tasks } = this
        this.tasks = []
        for (const task of tasks) task()
      } else if (this.immediates.length > 0) {
        const { immediates } = this
        this.immediates = []
        for (const f of immediates) f()
      } else return
    }
  }

  private push(timer: Timer): void {
    const { heap } = this
    let i = heap.length
    heap.push(timer)
    while (i > 0) {
      const j = (i - 1) >> 1
      if (!isBefore(timer, heap[j]!)) break
      heap[i] = heap[j]!
      i = j
    }
    heap[i] = timer
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop()!
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
  }

  /** Takes the place of the real time, until the returned function is called. */
  install(): () => void {
    const real = {
      setTimeout,
      clearTimeout,
      setInterval,
      clearInterval,
      setImmediate,
      clearImmediate,
      queueMicrotask,
      dateNow: Date.now,
      performanceNow: performance.now,
      mathRandom: Math.random,
      randomBytes: crypto.randomBytes,
      randomUUID: crypto.randomUUID,
      observer: hooks.PerformanceObserver,
      roots: new Set(Fiber.unsafeRoots())
    }
    // The heap belongs to the process that plays, not to one that is played; and an observer is never let go of by itself.
    hooks.PerformanceObserver = Blind as unknown as typeof hooks.PerformanceObserver
    const handle = (cancel: () => void) => ({ cancel, ref: () => {}, unref: () => {}, hasRef: () => false })
    const cancel = (given: unknown) => (given as { readonly cancel?: () => void } | undefined)?.cancel?.()
    const at = globalThis as unknown as Record<string, unknown>
    at["setTimeout"] = (f: (...a: Array<unknown>) => void, ms = 0, ...a: Array<unknown>) =>
      handle(this.after(ms, () => f(...a)))
    at["setInterval"] = () => handle(() => {})
    at["setImmediate"] = (f: () => void) => {
      let on = true
      this.immediates.push(() => on && f())
      return handle(() => {
        on = false
      })
    }
    at["queueMicrotask"] = (f: () => void) => void this.tasks.push(f)
    at["clearTimeout"] = at["clearInterval"] = at["clearImmediate"] = cancel
    Date.now = () => START + this.now
    performance.now = () => this.now
    Math.random = () => this.random.next()
    const bytes = (n: number) => {
      const made = Buffer.allocUnsafe(n)
      for (let i = 0; i < n; i++) made[i] = this.random.int(256)
      return made
    }
    Object.assign(crypto, {
      randomBytes: bytes,
      randomUUID: () =>
        bytes(16)
          .toString("hex")
          .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")
    })
    syncBuiltinESMExports()
    return () => {
      const { dateNow, mathRandom, observer, performanceNow, randomBytes, randomUUID, roots, ...globals } = real
      Object.assign(globalThis, globals)
      Date.now = dateNow
      performance.now = performanceNow
      Math.random = mathRandom
      Object.assign(crypto, { randomBytes, randomUUID })
      hooks.PerformanceObserver = observer
      syncBuiltinESMExports()
      letGo(roots)
    }
  }
}

/** Observes nothing. */
class Blind {
  observe(): void {}
  disconnect(): void {}
}

/** Effect holds every fiber that has not ended: those of a run that is over wait for ever, and would hold all of its world. */
const letGo = (before: ReadonlySet<Fiber.RuntimeFiber<any, any>>): void => {
  const { roots } = globalValue(Symbol.for("effect/FiberScope/Global"), (): { roots: Set<unknown> } => {
    throw new Error("Effect keeps its fibers elsewhere")
  })
  for (const fiber of Fiber.unsafeRoots()) if (!before.has(fiber)) roots.delete(fiber)
}

const isBefore = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

/** mulberry32 */
export interface Rng {
  readonly next: () => number
  readonly int: (below: number) => number
  readonly between: (low: number, high: number) => number
  readonly chance: (p: number) => boolean
}

export const rng = (seed: number): Rng => {
  let a = (seed * 2654435761) >>> 0
  const next = () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return {
    next,
    int: (below) => Math.floor(next() * below),
    between: (low, high) => low + (high - low) * next(),
    chance: (p) => next() < p
  }
}
