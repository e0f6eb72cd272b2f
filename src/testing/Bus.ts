/** One bus for all instances of a cluster, which remembers what each of them published. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryPubSub from "../adapters/embedded/MemoryPubSub.js"
import { PubSubUnavailable } from "../domain/Errors.js"
import { type Publish, type PublishFailure, PubSub, type TopicEvent } from "../ports/PubSub.js"
import type { SimulatedProcess } from "./SimulatedProcess.js"
import { forever, type TestRuntime } from "./TestRuntime.js"

/** What the bus took from an instance. */
export interface Published {
  /** number of the instance */
  readonly instance: number
  /** where it was published */
  readonly topic: string
  /** as it was published */
  readonly event: TopicEvent
}

export class Bus {
  /** What the bus took, in order. Empty it with `published.length = 0`. */
  readonly published: Array<Published> = []
  /** Every publish fails while true. */
  down = false
  /** Milliseconds until a batch is taken and answered; may be changed at any time. */
  delay: (topic: string) => number = () => 0
  onPublished: (published: Published) => void = () => {}
  private readonly inner = MemoryPubSub.make()

  constructor(private readonly ground: TestRuntime) {}

  layer(instance: number, process: SimulatedProcess): Layer.Layer<PubSub> {
    const take = (topic: string, batch: ReadonlyArray<TopicEvent>) => {
      for (const event of batch) {
        const published: Published = { instance, topic, event }
        this.published.push(published)
        this.onPublished(published)
      }
    }
    const unavailable = new PubSubUnavailable({ reason: "told to fail" })
    type Taken = Effect.Effect<ReadonlyArray<PublishFailure>, PubSubUnavailable>
    const publish = (topic: string, batch: ReadonlyArray<TopicEvent>): Taken =>
      Effect.suspend((): Taken => {
        if (process.dead) return forever
        if (this.down) return Effect.fail(unavailable)
        const ms = this.delay(topic)
        const taken = () => {
          take(topic, batch)
          return this.inner.publish(topic, batch)
        }
        const arrived = () => (this.down ? Effect.fail(unavailable) : taken())
        if (ms <= 0) {
          // the end of a turn of the event loop follows no instance's clock: it comes for frozen instances, too
          return process.frozen ? Effect.async((resume) => process.post(() => resume(arrived()))) : taken()
        }
        // on its way: it arrives even when the caller no longer waits for the answer, unless the process dies
        return Effect.async((resume) => {
          this.ground.after(ms, () => {
            if (!process.dead) resume(arrived())
          })
        })
      })
    const now: NonNullable<Publish["now"]> = (topic, batch) => {
      if (process.dead || process.frozen || this.down || this.delay(topic) > 0) return undefined
      const failures = this.inner.publish.now?.(topic, batch)
      if (failures !== undefined) take(topic, batch)
      return failures
    }
    return Layer.succeed(PubSub, {
      ...this.inner,
      publish: Object.assign(publish, { now }),
      ping: Effect.suspend(() => (this.down ? Effect.fail(unavailable) : Effect.void))
    })
  }
}
