/**
 * Lifecycle events on their way to their topic: in order per connection, in a bounded buffer for the whole instance. Beyond
 * it the oldest go, and are counted.
 */
import { Fifo } from "../../common/Fifo.js"
import type { TopicEvent } from "../../domain/CloudEvent.js"
import type { LifecycleEvent } from "../../domain/ConnectionEvent.js"
import type { Counter } from "../../observability/Metrics.js"
import type { BufferUsage } from "./BufferUsage.js"
import { RESTING, Source } from "./Source.js"
import type { TopicQueue } from "./TopicQueue.js"

/** Events of one instance that may wait. */
export const MAX_EVENTS = 10_000

export class LifecyclePublisher {
  /** by connection; those of instances share one. A lane is there while it has something. */
  private readonly lanes = new Map<string, EventLane>()
  private numbered = 0

  constructor(
    private readonly queue: TopicQueue,
    private readonly tally: BufferUsage,
    private readonly dropped: Counter
  ) {}

  announce(event: LifecycleEvent): void {
    if (this.tally.events >= MAX_EVENTS) this.dropOldest()
    let lane = this.lanes.get(event.connectionId)
    if (lane === undefined) {
      lane = new EventLane(event.connectionId, this)
      this.lanes.set(event.connectionId, lane)
    }
    lane.waiting.push({ event, number: this.numbered++ })
    this.tally.events++
    if (lane.state === RESTING) this.queue.wake(lane)
  }

  taken(events: number): void {
    this.tally.events -= events
  }

  lost(): void {
    this.tally.events--
    this.dropped.add(1)
  }

  settled(lane: EventLane): void {
    if (lane.entries() === 0) this.lanes.delete(lane.connectionId)
  }

  /** Of what is in no request. Only while the broker is away for long is there anything to look through. */
  private dropOldest(): void {
    let oldest: EventLane | undefined
    for (const lane of this.lanes.values()) {
      const first = lane.waiting.first
      if (first !== undefined && first.number < (oldest?.waiting.first?.number ?? Infinity)) oldest = lane
    }
    if (oldest === undefined) return
    oldest.waiting.shift()
    this.tally.events--
    this.dropped.add(1)
  }
}

class EventLane extends Source {
  readonly waiting = new Fifo<{ readonly event: LifecycleEvent; readonly number: number }>()

  constructor(
    readonly connectionId: string,
    private readonly announcer: LifecyclePublisher
  ) {
    super()
  }

  /** An event is no frame: that the lease is lost is itself an event. */
  mayPublish(): boolean {
    return true
  }

  entries(): number {
    return this.formed.length + this.waiting.length
  }

  dueAt(): number {
    return this.entries() > 0 ? 0 : Infinity
  }

  protected form(): TopicEvent {
    return this.waiting.shift().event
  }

  published(_events: ReadonlyArray<TopicEvent>, from: number, to: number): void {
    this.announcer.taken(to - from)
  }

  lost(): void {
    this.announcer.lost()
  }

  protected readonly ended = false
  protected abandoned(): void {}
  settled(): void {
    this.announcer.settled(this)
  }
}
