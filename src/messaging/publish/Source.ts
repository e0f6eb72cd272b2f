/**
 * One ordered stream of events towards one topic, as the topic's queue sees it. It has something to send, is in a request,
 * waits for a time, or rests. What it sends next goes only after the answer to what it sent before.
 */
import { encodedSize, encodedSizeBound, type TopicEvent } from "../../domain/CloudEvent.js"
import type { PublishFailure } from "../../ports/PubSub.js"
import { Failures, retryDelay } from "./Retry.js"

/** The queue has nothing to do for it. */
export const RESTING = 0
/** It stands in the queue. */
export const READY = 1
/** Its entries are in a request. */
export const BUSY = 2
/** It waits for company until `wakeAt`; more of it may end the waiting. */
export const LINGERING = 3
/** It waits until `wakeAt`, whatever comes. */
export const WAITING = 5
/** It waits for its predecessor. */
export const BLOCKED = 4

export abstract class Source {
  state: 0 | 1 | 2 | 3 | 4 | 5 = RESTING
  /** steady milliseconds */
  wakeAt = 0
  /** the next one in the queue */
  next: Source | undefined
  /** entries that were formed already, and go before anything else; a failed one is repeated unchanged */
  protected formed: Array<TopicEvent> = NONE
  private failures: Failures | undefined

  /** Asked right before a request goes out. */
  abstract mayPublish(): boolean
  /** Entries that wait, at least. */
  abstract entries(): number
  /** When the next entry may go: 0 is at once, Infinity while there is none. */
  abstract dueAt(): number
  /** The next entry; only when it is due. */
  protected abstract form(): TopicEvent
  /** `events[from]` to `events[to - 1]` were taken by the broker. */
  abstract published(events: ReadonlyArray<TopicEvent>, from: number, to: number): void
  /** The entry will never be taken by the broker; `next` came behind it, where that is known. */
  abstract lost(event: TopicEvent, next: TopicEvent | undefined): void
  /** True: nothing of it goes out any more; what failed is told to `abandoned`. */
  protected abstract get ended(): boolean
  protected abstract abandoned(event: TopicEvent): void
  /** It has been settled; for bookkeeping. */
  abstract settled(): void

  /** Puts its next entries into a batch, at most `most`; how many. */
  take(batch: Batch, most: number, now: number): number {
    let taken = 0
    while (taken < most && this.formed.length > 0 && batch.add(this.formed[0]!)) {
      this.formed.shift()
      taken++
    }
    while (taken < most && this.formed.length === 0 && this.dueAt() <= now) {
      const event = this.form()
      if (!batch.add(event)) {
        this.formed = [event]
        break
      }
      taken++
    }
    return taken
  }

  /**
   * Some of its entries failed. The first that is worth repeating is repeated, and with it all that came after, in order;
   * what came before is published, what will never be taken is lost. Answers with the failures in a row of what comes next;
   * 0: none.
   */
  failed(
    events: ReadonlyArray<TopicEvent>,
    from: number,
    to: number,
    isTransient: (index: number) => boolean | undefined,
    now: number,
    published: number
  ): number {
    const again: Array<TopicEvent> = []
    for (let i = from; i < to; i++) {
      const transient = isTransient(i)
      if (transient === false) this.lost(events[i]!, i + 1 < to ? events[i + 1] : this.formed[0])
      else if (transient === true || again.length > 0) again.push(events[i]!)
      else this.published(events, i, i + 1)
    }
    if (this.ended) {
      for (const event of again) this.abandoned(event)
      return 0
    }
    if (again.length === 0) return this.succeeded()
    this.failures ??= new Failures()
    const giveUp = this.failures.add(again[0]!, now, published)
    const { count } = this.failures
    this.formed = [...again, ...this.formed]
    if (!giveUp) return count
    const given = this.formed.shift()!
    this.lost(given, this.formed[0])
    return this.succeeded()
  }

  /** What it sent was settled; no entry of it is failing. */
  succeeded(): 0 {
    this.failures = undefined
    return 0
  }
}

/** Shared by all that have nothing formed; never written to. */
const NONE: Array<TopicEvent> = []

/** One request on its way to a topic: entries of several sources, side by side. */
export class Batch {
  readonly events: Array<TopicEvent> = []
  /** Whose entries they are, in the order of the entries: source i has the next `counts[i]`. */
  readonly sources: Array<Source> = []
  readonly counts: Array<number> = []
  startedAt = 0

  constructor(
    readonly maxEvents: number,
    /** encoded bytes that may still come in; Infinity: no limit */
    private room: number
  ) {}

  get full(): boolean {
    return this.events.length >= this.maxEvents
  }

  /** Puts an entry in; false where it has no room. The first one always has. */
  add(event: TopicEvent): boolean {
    if (this.room !== Infinity) {
      let size = encodedSizeBound(event)
      // The bound may be six times too much, which cuts a batch of large texts far too early.
      if (size > this.room) size = encodedSize(event)
      if (size > this.room && this.events.length > 0) return false
      this.room -= size
    }
    this.events.push(event)
    return true
  }
}

// ------------------------------------------------------------ what an answer means

// What an answer means for the sources whose entries were in the request.

/**
 * Tells each source what became of its entries, and then `settled` how long it waits before it goes on: 0 is not at all.
 * `failures` are the entries that failed; undefined: nothing is known of any. `published` counts what the broker ever took.
 */
export const settle = (
  batch: Batch,
  failures: ReadonlyArray<PublishFailure> | undefined,
  now: number,
  published: number,
  settled: (source: Source, waitMillis: number) => void
): void => {
  const { counts, events, sources } = batch
  const allTaken = failures?.length === 0
  const transients =
    failures === undefined || allTaken ? undefined : new Map(failures.map((f) => [f.index, f.transient]))
  const isTransient = (index: number) => (transients === undefined ? true : transients.get(index))
  // The same for all: what failed together is repeated together.
  const random = allTaken ? 0 : Math.random()
  let from = 0
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i]!
    const to = from + counts[i]!
    let inARow = 0
    if (allTaken) {
      source.published(events, from, to)
      source.succeeded()
    } else inARow = source.failed(events, from, to, isTransient, now, published)
    from = to
    source.state = RESTING
    settled(source, inARow === 0 ? 0 : retryDelay(inARow, random))
  }
}
