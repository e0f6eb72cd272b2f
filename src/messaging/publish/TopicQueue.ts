/**
 * One topic: its sources are served in turn, in up to four requests at once.
 *
 * With a free slot an event goes at the end of the turn of the event loop it came in. What the sockets delivered in this
 * turn goes together, and nothing is started for a single frame. Where one turn brings much, it goes as it comes. An event
 * that finds all slots busy waits for company, at most the linger.
 */
import * as Exit from "effect/Exit"
import type { Histogram, MetricsShape } from "../../observability/Metrics.js"
import type { PublishExit, PubSub } from "../../ports/PubSub.js"
import type { BufferUsage } from "./BufferUsage.js"
import { InFlight } from "./InFlight.js"
import { Batch, BUSY, LINGERING, READY, RESTING, settle, type Source, WAITING } from "./Source.js"
import { DelayedQueue, ReadyQueue } from "./SourceQueues.js"
import type { RunFork, Timer } from "./Timer.js"
import { TopicHealth } from "./TopicHealth.js"
import { TurnScheduler } from "./TurnScheduler.js"

const SLOTS = 4
/** Entries that have come within one turn of the event loop and do not wait for its end. */
export const MANY = 64
const LEASE_LOOK_MILLIS = 100

export interface TopicQueueOptions {
  readonly pubsub: PubSub["Type"]
  readonly makeAlarm: (ring: () => void) => Timer
  /** steady milliseconds */
  readonly now: () => number
  readonly runFork: RunFork
  readonly metrics: MetricsShape
  readonly tally: BufferUsage
  readonly batch: number
  readonly lingerMillis: number
  /** encoded bytes of one request; Infinity: no limit */
  readonly maxBytes: number
}

export class TopicQueue {
  private readonly pump: TurnScheduler
  private readonly ready = new ReadyQueue()
  private readonly sleepers: DelayedQueue
  /** requests without an answer */
  private busy = 0
  /** until when those in the queue wait for company; 0: they do not */
  private holdUntil = 0
  private closed = false
  private readonly health: TopicHealth
  private readonly alarm: Timer
  private readonly requests: InFlight
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
    this.pump = new TurnScheduler(this.sendAll, (defect) => this.health.failed(defect))
    this.sleepers = new DelayedQueue(this.alarm)
    this.health = new TopicHealth(topic, options.runFork)
    this.requests = new InFlight(topic, options.pubsub, options.runFork, this.alarm, this.told)
  }

  /** A source has something to send, or will have at its `dueAt`. */
  wake(source: Source): void {
    const due = source.dueAt()
    if (due === 0 || due <= this.now()) this.enqueue(source)
    else if (due !== Infinity) this.sleepers.add(source, LINGERING, due)
  }

  /** Stops everything; what is in a request is left to its fate. */
  close(): void {
    this.closed = true
    this.alarm.cancel()
    this.requests.close()
  }

  private readonly enqueue = (source: Source): void => {
    if (source.state === READY) return
    if (source.state !== RESTING) this.sleepers.remove(source)
    this.ready.push(source)
    if (this.ready.length === MANY) this.pump.hurry()
    if (this.busy >= SLOTS && this.holdUntil === 0) this.holdUntil = this.now() + this.options.lingerMillis
    this.pump.schedule()
  }

  /** Much has come: it does not wait for the end of the turn. */
  hurry(): void {
    this.pump.hurry()
  }

  private readonly sendAll = (): void => {
    for (let batch = this.nextBatch(); batch !== undefined; batch = this.nextBatch()) this.requests.send(batch)
  }

  /** The slot that an answer frees is taken at once by what waits. */
  private readonly told = (batch: Batch, exit: PublishExit): void => this.pump.after(() => this.answered(batch, exit))

  private maySend(): boolean {
    return this.ready.length > 0 && this.busy < SLOTS && !this.closed && !this.holding()
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
    if (this.ready.fills(this.options.batch, this.options.pubsub.orderedWithinBatch)) return false
    this.alarm.set(this.holdUntil)
    return true
  }

  /** The next request: the sources that are ready, in turn, each with its share. */
  private fill(): Batch {
    const { pubsub } = this.options
    const now = this.now()
    const batch = new Batch(this.options.batch, this.options.maxBytes)
    batch.startedAt = now
    const share = pubsub.orderedWithinBatch ? Math.max(1, Math.floor(batch.maxEvents / this.ready.length)) : 1
    for (let turns = this.ready.length; turns > 0 && !batch.full; turns--) {
      const source = this.ready.shift()
      if (source.entries() > 0 && !source.mayPublish()) {
        this.sleepers.add(source, WAITING, now + LEASE_LOOK_MILLIS)
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
    if (failed > 0 || this.health.failing) this.health.heard(exit, now)
    settle(batch, failures, now, tally.published, this.settled)
    tally.settled()
  }

  private readonly settled = (source: Source, waitMillis: number): void => {
    if (waitMillis > 0) this.sleepers.add(source, WAITING, this.now() + waitMillis)
    else this.wake(source)
    source.settled()
  }

  private rang(): void {
    const now = this.now()
    let next = this.holdUntil === 0 ? Infinity : this.holdUntil
    if (this.holdUntil !== 0 && this.holdUntil <= now) {
      this.pump.schedule()
      next = Infinity
    }
    next = Math.min(next, this.sleepers.rouse(now, this.enqueue), this.requests.sweep(now))
    if (next !== Infinity) this.alarm.set(next)
  }
}
