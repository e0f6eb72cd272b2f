/**
 * One topic: its sources are served in turn, in up to four requests at once.
 *
 * With a free slot an event goes at the end of the turn of the event loop it came in: what the sockets delivered in this turn
 * goes together, and nothing is started for a single frame. Where one turn brings much, it goes as it comes. An event that
 * finds all slots busy waits for company, at most the linger.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { PubSubUnavailable } from "../domain/Errors.js"
import type { Histogram, MetricsShape } from "../observability/Metrics.js"
import type { PublishExit, PubSub } from "../ports/PubSub.js"
import type { Alarm, RunFork } from "./Alarm.js"
import { Batch } from "./Batch.js"
import { REQUEST_MILLIS, Requests } from "./Requests.js"
import { retryDelay } from "./Retry.js"
import { BUSY, LINGERING, READY, RESTING, type Source, WAITING } from "./Source.js"
import type { Tally } from "./Tally.js"

const SLOTS = 4
/** Entries that have come within one turn of the event loop and do not wait for its end. */
export const MANY = 64
const LEASE_LOOK_MILLIS = 100

export interface TopicQueueOptions {
  readonly pubsub: PubSub["Type"]
  readonly makeAlarm: (ring: () => void) => Alarm
  /** steady milliseconds */
  readonly now: () => number
  readonly runFork: RunFork
  readonly metrics: MetricsShape
  readonly tally: Tally
  readonly batch: number
  readonly lingerMillis: number
  /** encoded bytes of one request; Infinity: no limit */
  readonly maxBytes: number
}

export class TopicQueue {
  private first: Source | undefined
  private last: Source | undefined
  private ready = 0
  private readonly asleep = new Set<Source>()
  /** requests without an answer */
  private busy = 0
  /** until when those in the queue wait for company; 0: they do not */
  private holdUntil = 0
  private scheduled = false
  private hurried = false
  private pumping = false
  private closed = false
  private failing = false
  private refusalToldAt = -Infinity
  private readonly alarm: Alarm
  private readonly requests: Requests
  private readonly now: () => number
  private readonly seconds: { readonly [outcome in "ok" | "partial" | "failed"]: Histogram }

  constructor(
    readonly topic: string,
    private readonly options: TopicQueueOptions
  ) {
    const { metrics } = options
    this.seconds = {
      ok: metrics.publishSeconds("ok"),
      partial: metrics.publishSeconds("partial"),
      failed: metrics.publishSeconds("failed")
    }
    this.now = options.now
    this.alarm = options.makeAlarm(() => this.rang())
    this.requests = new Requests(topic, options.pubsub, options.runFork, this.alarm, this.told)
  }

  /** A source has something to send, or will have at its `dueAt`. */
  wake(source: Source): void {
    const due = source.dueAt()
    if (due === 0 || due <= this.now()) this.enqueue(source)
    else if (due !== Infinity) this.sleep(source, LINGERING, due)
  }

  /** Stops everything; what is in a request is left to its fate. */
  close(): void {
    this.closed = true
    this.alarm.cancel()
    this.requests.close()
  }

  private enqueue(source: Source): void {
    if (source.state === READY) return
    if (source.state !== RESTING) this.asleep.delete(source)
    source.state = READY
    source.next = undefined
    if (this.last === undefined) this.first = source
    else this.last.next = source
    this.last = source
    this.ready++
    if (this.ready === MANY) this.hurry()
    if (this.busy >= SLOTS && this.holdUntil === 0) this.holdUntil = this.now() + this.options.lingerMillis
    this.schedule()
  }

  private dequeue(): Source {
    const source = this.first!
    this.first = source.next
    if (this.first === undefined) this.last = undefined
    source.next = undefined
    this.ready--
    return source
  }

  private sleep(source: Source, state: typeof LINGERING | typeof WAITING, wakeAt: number): void {
    source.state = state
    source.wakeAt = wakeAt
    this.asleep.add(source)
    this.alarm.set(wakeAt)
  }

  /** Goes once the present callback is done: more would only be held longer. */
  hurry(): void {
    if (this.hurried || this.pumping) return
    this.hurried = true
    queueMicrotask(this.pump)
  }

  private schedule(): void {
    if (this.scheduled || this.pumping) return
    this.scheduled = true
    setImmediate(this.endOfTurn)
  }

  private readonly endOfTurn = (): void => {
    this.scheduled = false
    this.pump()
  }

  private readonly pump = (): void => {
    this.hurried = false
    if (this.pumping) return
    this.pumping = true
    try {
      this.sendAll()
    } finally {
      this.pumping = false
    }
  }

  private sendAll(): void {
    for (let batch = this.nextBatch(); batch !== undefined; batch = this.nextBatch()) this.requests.send(batch)
  }

  /** The slot that an answer frees is taken at once by what waits. */
  private readonly told = (batch: Batch, exit: PublishExit): void => {
    if (this.pumping) return this.answered(batch, exit)
    this.pumping = true
    try {
      this.answered(batch, exit)
      this.sendAll()
    } finally {
      this.pumping = false
    }
  }

  private maySend(): boolean {
    return this.ready > 0 && this.busy < SLOTS && !this.closed && !this.holding()
  }

  private nextBatch(): Batch | undefined {
    while (this.maySend()) {
      this.holdUntil = 0
      const batch = this.fill()
      if (batch.events.length === 0) continue
      this.busy++
      return batch
    }
    return undefined
  }

  /** Whether those in the queue go on waiting for company although a slot is free. */
  private holding(): boolean {
    if (this.holdUntil === 0 || this.now() >= this.holdUntil) return false
    let entries = 0
    for (let source = this.first; source !== undefined; source = source.next) {
      entries += this.options.pubsub.orderedWithinBatch ? source.entries() : 1
      if (entries >= this.options.batch) return false
    }
    this.alarm.set(this.holdUntil)
    return true
  }

  /** The next request: the sources that are ready, in turn, each with its share. */
  private fill(): Batch {
    const { pubsub } = this.options
    const now = this.now()
    const batch = new Batch(this.options.batch, this.options.maxBytes)
    batch.startedAt = now
    const share = pubsub.orderedWithinBatch ? Math.max(1, Math.floor(batch.maxEvents / this.ready)) : 1
    for (let turns = this.ready; turns > 0 && !batch.full; turns--) {
      const source = this.dequeue()
      if (source.entries() > 0 && !source.mayPublish()) {
        this.sleep(source, WAITING, now + LEASE_LOOK_MILLIS)
        continue
      }
      const taken = source.take(batch, Math.min(share, batch.maxEvents - batch.events.length), now)
      if (taken > 0) {
        source.state = BUSY
        batch.sources.push(source)
        batch.counts.push(taken)
        continue
      }
      source.state = RESTING
      this.wake(source)
      source.settled()
      // Its entry has no room in this request: the next request is for it.
      if (source.entries() > 0) break
    }
    return batch
  }

  private answered(batch: Batch, exit: PublishExit): void {
    this.busy--
    if (this.closed) return
    const { tally } = this.options
    const now = this.now()
    const failures = Exit.isSuccess(exit) ? exit.value : undefined
    const failed = failures === undefined ? batch.events.length : failures.length
    const outcome = failures === undefined ? "failed" : failed === 0 ? "ok" : "partial"
    tally.published += batch.events.length - failed
    this.seconds[outcome].observe((now - batch.startedAt) / 1000)
    if (failed > 0 || this.failing) this.report(exit, now)

    const transients =
      failures === undefined || failed === 0 ? undefined : new Map(failures.map((f) => [f.index, f.transient]))
    const isTransient = (index: number) => (transients === undefined ? true : transients.get(index))
    // The same for all: what failed together is repeated together.
    const random = failed > 0 ? Math.random() : 0
    let from = 0
    for (let i = 0; i < batch.sources.length; i++) {
      const source = batch.sources[i]!
      const to = from + batch.counts[i]!
      let inARow = 0
      if (failed > 0) inARow = source.failed(batch.events, from, to, isTransient, now, tally.published)
      else {
        source.published(batch.events, from, to)
        source.succeeded()
      }
      from = to
      source.state = RESTING
      if (inARow > 0) this.sleep(source, WAITING, now + retryDelay(inARow, random))
      else this.wake(source)
      source.settled()
    }
    tally.settled()
  }

  private rang(): void {
    const now = this.now()
    let next = this.holdUntil === 0 ? Infinity : this.holdUntil
    if (this.holdUntil !== 0 && this.holdUntil <= now) {
      this.schedule()
      next = Infinity
    }
    for (const source of this.asleep) {
      if (source.wakeAt <= now) this.enqueue(source)
      else next = Math.min(next, source.wakeAt)
    }
    next = Math.min(next, this.requests.sweep(now))
    if (next !== Infinity) this.alarm.set(next)
  }

  /** To the log: when the topic begins to fail, when it is well again, and, once a second, what will never be taken. */
  private report(exit: PublishExit, now: number): void {
    const { runFork } = this.options
    const failures = Exit.isSuccess(exit) ? exit.value : undefined
    const refused = failures?.find((failure) => !failure.transient)
    if (refused !== undefined && now >= this.refusalToldAt + 1000) {
      this.refusalToldAt = now
      runFork(Effect.logWarning(`an event for topic ${this.topic} is refused and dropped: ${refused.reason}`))
    }
    const failing = failures === undefined || failures.some((failure) => failure.transient)
    if (failing === this.failing) return
    this.failing = failing
    const reason = Exit.isFailure(exit) ? messageOf(exit.cause) : exit.value.find(({ transient }) => transient)?.reason
    runFork(
      failing
        ? Effect.logWarning(
            `publishing to topic ${this.topic} fails and is repeated: ${reason ?? "for no reason given"}`
          )
        : Effect.logInfo(`publishing to topic ${this.topic} is well again`)
    )
  }
}

/** One line for the operator; an outage is no defect, and has no use for a trace. */
const messageOf = (cause: Cause.Cause<PubSubUnavailable>): string =>
  Cause.isInterruptedOnly(cause)
    ? `no answer within ${REQUEST_MILLIS / 1000} s`
    : Option.match(Cause.failureOption(cause), { onNone: () => Cause.pretty(cause), onSome: ({ message }) => message })
