/**
 * A pub/sub that fails as told, around an in-process one. Time is the Effect Clock's, so a test moves it.
 *
 * ```ts
 * const faulty = FaultyPubSub.make({ orderedWithinBatch: false })
 * faulty.failEntry = (event) => event.kind === "frame" && event.sequence === 3 ? { transient: true } : undefined
 * faulty.hanging.add("slow topic")
 * ```
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryPubSub from "../../src/adapters/embedded/MemoryPubSub.js"
import { PubSubUnavailable } from "../../src/domain/Errors.js"
import { PubSub, type PublishFailure, type TopicEvent } from "../../src/ports/PubSub.js"

type Service = PubSub["Type"]

export interface FaultyPubSubOptions {
  /** false: what is taken of a batch reaches the topic in reverse */
  readonly orderedWithinBatch?: boolean
  /** in bytes of payload: entries over it are refused for good */
  readonly maxEventBytes?: number
  readonly inner?: Service
}

/** One call of publish, as it came in. */
export interface Batch {
  readonly topic: string
  readonly events: ReadonlyArray<TopicEvent>
  /** when it was called, milliseconds of the Clock */
  readonly at: number
}

export class FaultyPubSub {
  /** Every batch, in order, whatever became of it. */
  readonly batches: Array<Batch> = []
  /** What reached each topic, in the order of arrival. */
  readonly delivered = new Map<string, Array<TopicEvent>>()
  /** Publishes that have begun and not ended, by topic; and the most there were at once. */
  readonly inFlight = new Map<string, number>()
  readonly mostInFlight = new Map<string, number>()

  /** Publish and ping fail at once; nothing is published. */
  unavailable = false
  /** Topics whose publishes hang until their caller's deadline or interruption; nothing is published. */
  readonly hanging = new Set<string>()
  /** Topics that take everything this much later. */
  readonly slow = new Map<string, Duration.Duration>()
  /** Why an entry is not taken. */
  failEntry: (
    event: TopicEvent,
    topic: string
  ) => { readonly transient: boolean; readonly reason?: string } | undefined = () => undefined

  private losing = 0

  constructor(private readonly options: Required<FaultyPubSubOptions>) {}

  /** The next `n` batches are published; the caller gets `outcome: "unknown"`. */
  loseResponse(n: number): void {
    this.losing = n
  }
  /** No faults from now on. Publishes that hang go on hanging. */
  heal(): void {
    this.unavailable = false
    this.hanging.clear()
    this.slow.clear()
    this.failEntry = () => undefined
    this.losing = 0
  }
  /** What reached this topic, in the order of arrival. */
  eventsOf(topic: string): ReadonlyArray<TopicEvent> {
    return this.delivered.get(topic) ?? []
  }

  get service(): Service {
    const { inner, maxEventBytes, orderedWithinBatch } = this.options
    return {
      orderedWithinBatch,
      maxEventBytes,
      publish: (topic, batch) => this.publish(topic, batch),
      subscribe: inner.subscribe,
      ping: Effect.suspend(() => (this.unavailable ? Effect.fail(new PubSubUnavailable({})) : inner.ping))
    }
  }
  get layer(): Layer.Layer<PubSub> {
    return Layer.sync(PubSub, () => this.service)
  }

  private publish(topic: string, batch: ReadonlyArray<TopicEvent>) {
    const answer = Effect.suspend((): ReturnType<Service["publish"]> => {
      if (this.hanging.has(topic)) return Effect.never
      if (this.unavailable) return Effect.fail(new PubSubUnavailable({ reason: "told to fail" }))
      const delay = this.slow.get(topic)
      const taken = Effect.suspend(() => this.take(topic, batch))
      return delay === undefined ? taken : Effect.delay(taken, delay)
    })
    return Effect.flatMap(Clock.currentTimeMillis, (at) => {
      this.batches.push({ topic, events: [...batch], at })
      this.begin(topic, 1)
      return Effect.ensuring(
        answer,
        Effect.sync(() => this.begin(topic, -1))
      )
    })
  }

  private take(topic: string, batch: ReadonlyArray<TopicEvent>): ReturnType<Service["publish"]> {
    const failures: Array<PublishFailure> = []
    const taken: Array<TopicEvent> = []
    batch.forEach((event, index) => {
      const failure = tooLarge(event, this.options.maxEventBytes) ?? this.failEntry(event, topic)
      if (failure === undefined) taken.push(event)
      else failures.push({ index, transient: failure.transient, reason: failure.reason ?? "told to fail" })
    })
    if (!this.options.orderedWithinBatch) taken.reverse()
    const delivered = this.delivered.get(topic) ?? []
    this.delivered.set(topic, delivered)
    for (const event of taken) delivered.push(event)
    const lost = this.losing > 0
    if (lost) this.losing -= 1
    return Effect.zipRight(
      this.options.inner.publish(topic, taken),
      lost ? Effect.fail(new PubSubUnavailable({ outcome: "unknown" })) : Effect.succeed(failures)
    )
  }

  private begin(topic: string, change: number): void {
    const now = (this.inFlight.get(topic) ?? 0) + change
    this.inFlight.set(topic, now)
    this.mostInFlight.set(topic, Math.max(now, this.mostInFlight.get(topic) ?? 0))
  }
}

const tooLarge = (event: TopicEvent, limit: number) => {
  const frames = event.kind === "frame" ? [event] : event.kind === "frames" ? event.frames : []
  const bytes = frames.reduce((sum, frame) => sum + frame.data.length, 0)
  return bytes <= limit ? undefined : { transient: false, reason: `${bytes} bytes are over the limit of ${limit}` }
}

export const make = (options: FaultyPubSubOptions = {}): FaultyPubSub =>
  new FaultyPubSub({ orderedWithinBatch: true, maxEventBytes: Infinity, inner: MemoryPubSub.make(), ...options })
