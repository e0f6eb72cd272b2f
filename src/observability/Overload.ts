/**
 * How near the process is to V8's heap limit, and to what its container may have. Above the first mark new calls are
 * refused. Above the second the largest connections are paused, before V8 or the kernel ends the process.
 *
 * What counts is what a major collection left, not what lies around until the next one. So only a reading taken right after
 * a collection passes a mark; V8 collects more and more often as its limit comes near. A reading below the mark, garbage
 * and all, ends that.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { constants, type PerformanceEntry, PerformanceObserver } from "node:perf_hooks"
import { getHeapStatistics } from "node:v8"
import { Listeners } from "../common/Listeners.js"
import { OVERLOAD } from "../domain/Limits.js"
import * as Container from "./Container.js"
import { Metrics } from "./Metrics.js"

/** calls: new calls are refused; feeds: the largest connections are paused too. */
export type Level = "none" | "calls" | "feeds"

/** A mark that was passed is left this much below it, percent. */
const SLACK = 3
const LOOK_MS = 250

export class Overload extends Context.Tag("websocketmanager/observability/Overload")<
  Overload,
  {
    readonly level: () => Level
    /** What is nearest to its limit, as it was read last. */
    readonly nearest: () => { readonly percent: number; readonly of: "heap" | "memory" }
    /** Calls back at each change, and at each look while feeds are paused, until the returned function is called. */
    readonly onLook: (listener: (level: Level) => void) => () => void
  }
>() {
  static readonly layer: Layer.Layer<Overload, never, Metrics> = Layer.scoped(
    Overload,
    Effect.gen(function* () {
      const metrics = yield* Metrics
      const judge = make()
      yield* Effect.acquireRelease(
        Effect.sync(() => measure(judge)),
        (stop) => Effect.sync(stop)
      )
      metrics.heapUsed(() => [[[], judge.heap() / 100]])
      return judge
    })
  )
}

/** The judgement, fed with readings; pure. */
export const make = () => {
  const listeners = new Listeners<[level: Level]>()
  let level: Level = "none"
  let heap = 0
  let memory = 0

  /** Percent of V8's limit and of the container's. `collected`: read right after a major collection. */
  const read = (ofHeap: number, collected: boolean, ofMemory = 0): void => {
    heap = ofHeap
    memory = ofMemory
    const now = Math.max(heap, memory)
    const before = level
    const least = (mark: number, passed: boolean) => (passed ? now >= mark - SLACK : collected && now >= mark)
    const calls = least(OVERLOAD.CALLS_PERCENT, level !== "none")
    const feeds = least(OVERLOAD.FEEDS_PERCENT, level === "feeds")
    level = feeds ? "feeds" : calls ? "calls" : "none"
    if (level !== before || level === "feeds") listeners.tell(level)
  }
  return {
    read,
    level: () => level,
    heap: () => heap,
    nearest: () =>
      memory > heap ? { percent: memory, of: "memory" as const } : { percent: heap, of: "heap" as const },
    onLook: listeners.add
  }
}

/** V8's limit counts the young generation too, three spaces of 16 MiB; objects that stay do not get that room. */
const YOUNG_BYTES = 48 * 1024 * 1024

type GcEntry = PerformanceEntry & { readonly detail: { readonly kind: number } }

/**
 * Milliseconds from one collection to one that is asked for: at first to learn whether a mark is passed, then whether it
 * still is.
 */
const COLLECT_MS = 2000
const COLLECT_AGAIN_MS = 10_000

const measure = ({ level, read }: ReturnType<typeof make>): (() => void) => {
  const container = Container.make()
  let collectedAt = performance.now()
  const look = (collected: boolean): void => {
    const { heap_size_limit, used_heap_size } = getHeapStatistics()
    const ofMemory = container.percent()
    read((100 * used_heap_size) / Math.max(heap_size_limit - YOUNG_BYTES, heap_size_limit / 2), collected, ofMemory)
    const at = performance.now()
    // V8 knows its own limit alone: near the container's it has no reason to collect
    const due = at - collectedAt >= (level() === "none" ? COLLECT_MS : COLLECT_AGAIN_MS)
    if (!collected && !(due && ofMemory >= OVERLOAD.CALLS_PERCENT - SLACK)) return
    collectedAt = at
    if (!collected) Container.collect()
  }
  const observer = new PerformanceObserver((list) => {
    const major = list
      .getEntries()
      .some((entry) => (entry as GcEntry).detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR)
    if (major) look(true)
  })
  observer.observe({ entryTypes: ["gc"] })
  const timer = setInterval(() => look(false), LOOK_MS)
  timer.unref()
  return () => {
    observer.disconnect()
    clearInterval(timer)
  }
}
