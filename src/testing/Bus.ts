/** One bus for all instances of a cluster, which remembers who published what. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryPubSub from "../adapters/embedded/MemoryPubSub.js"
import { PubSubUnavailable } from "../domain/Errors.js"
import { type Publish, PubSub, type TopicEvent } from "../ports/PubSub.js"
import type { Process } from "./Process.js"

export interface Published {
  /** number of the instance */
  readonly instance: number
  readonly topic: string
  readonly event: TopicEvent
}

export class Bus {
  /** What the bus took, in order. Empty it with `published.length = 0`. */
  readonly published: Array<Published> = []
  /** Every publish fails while true. */
  down = false
  onPublished: (published: Published) => void = () => {}
  private readonly inner = MemoryPubSub.make()

  layer(instance: number, process: Process): Layer.Layer<PubSub> {
    const take = (topic: string, batch: ReadonlyArray<TopicEvent>) => {
      for (const event of batch) {
        const published: Published = { instance, topic, event }
        this.published.push(published)
        this.onPublished(published)
      }
    }
    const unavailable = new PubSubUnavailable({ reason: "told to fail" })
    const publish = (topic: string, batch: ReadonlyArray<TopicEvent>) =>
      Effect.suspend(() => {
        if (process.dead) return Effect.never
        if (this.down) return Effect.fail(unavailable)
        take(topic, batch)
        return this.inner.publish(topic, batch)
      })
    const now: NonNullable<Publish["now"]> = (topic, batch) => {
      if (process.dead || process.frozen || this.down) return undefined
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
