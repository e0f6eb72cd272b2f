/**
 * The broker of the user's Dapr, through the sidecar: published in bulk over HTTP, the one way that tells of each entry.
 *
 * A bulk request keeps no order among its entries, so a batch has at most one entry of each connection. A single event goes
 * through the single publish, where the sidecar decodes and encodes one time less. What the broker does with an event that
 * the sidecar took, and how a reader gets it, depends on the component: see the README's table.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DeadlineQueue } from "../../common/DeadlineQueue.js"
import { encodedSize, fits, makeEncoder } from "../../domain/CloudEvent.js"
import { NotAvailable, PubSubUnavailable } from "../../domain/Errors.js"
import { type Publish, type PublishFailure, PubSub, type TopicEvent } from "../../ports/PubSub.js"
import { CLOUD_EVENTS, requestsOf } from "./publish/BulkRequests.js"
import { PublishBatch, type PublishContext } from "./publish/PublishBatch.js"
import { makePublishHealth } from "./publish/PublishHealth.js"
import { Sidecar } from "./Sidecar.js"
import { httpGet } from "./sidecar/HttpGet.js"
import { componentsOf, messageOf, missing, TOKEN_HINT } from "./sidecar/Metadata.js"

/** Which component frames and events go to, and what it takes. */
export interface Options {
  /** the name of the pub/sub component (WSM_PUBSUB) */
  readonly component: string
  /** The largest body that sidecar and broker take, in bytes (WSM_PUBLISH_MAX_BYTES); an event may be as large. */
  readonly maxBytes: number
  /** A publish, and a ping, end by this. Default 10 seconds. */
  readonly deadline?: Duration.DurationInput
}

const DEADLINE = "10 seconds"
/**
 * A pack goes raw: otherwise the sidecar would spend most of its time for a pack on decoding and encoding it. A subscriber
 * gets the same event. Only for components where that has been shown. Not for JetStream, which drops duplicates by the id
 * of the decoded event.
 */
const VERBATIM = "?metadata.rawPayload=true"
const PASSING_ON: ReadonlySet<string> = new Set(["pubsub.redis", "pubsub.in-memory"])
/**
 * Padding behind a raw pack, where it means nothing in JSON. Of a body one byte over its limit the sidecar cuts that byte
 * and says nothing. A decoded event would then be found broken. A raw one would be stored as it is, cut, and lost to every
 * reader.
 */
const FOR_THE_CUT = " "

/** The service on a sidecar. Fails, naming WSM_PUBSUB and what there is, when no such component is loaded. */
export const make = (options: Options): Effect.Effect<PubSub["Type"], NotAvailable, Sidecar> =>
  Effect.gen(function* () {
    const { component, maxBytes } = options
    const sidecar = yield* Sidecar
    const need = { setting: "WSM_PUBSUB", name: component, kind: "pubsub" } as const
    const lack = missing(need, sidecar.components)
    if (lack !== undefined) return yield* new NotAvailable({ feature: "WSM_PUBSUB", reason: lack })

    const patience = Duration.toMillis(options.deadline ?? DEADLINE)
    const encode = makeEncoder()
    const outcomes = makePublishHealth()
    const host: PublishContext = {
      posts: sidecar.posts,
      headers: [...Object.entries(sidecar.headers).flat(), "content-type", CLOUD_EVENTS],
      bulkHeaders: [...Object.entries(sidecar.headers).flat(), "content-type", "application/json"],
      deadlines: new DeadlineQueue(patience),
      outcomes
    }
    const passesOn = PASSING_ON.has(sidecar.components.find(({ name }) => name === component)?.type.toLowerCase() ?? "")
    const [single, bulk] = ["/v1.0/publish/", "/v1.0/publish/bulk/"].map((path) => path + encodeURIComponent(component))

    const start: NonNullable<Publish["start"]> = (topic, batch, done) => {
      const refused: Array<PublishFailure> = []
      const indices: Array<number> = []
      const events: Array<string> = []
      for (let index = 0; index < batch.length; index++) {
        const event = batch[index]!
        if (fits(event, maxBytes)) {
          indices.push(index)
          events.push(encode(event))
        } else refused.push({ index, transient: false, reason: tooLarge(event, maxBytes) })
      }
      const name = topicPath(topic)
      const verbatim =
        passesOn &&
        batch.length === 1 &&
        batch[0]!.kind === "frames" &&
        events.length === 1 &&
        isBelow(events[0]!, maxBytes)
      if (verbatim) events[0] += FOR_THE_CUT
      const paths = { single: `${single}/${name}${verbatim ? VERBATIM : ""}`, bulk: `${bulk}/${name}` }
      return new PublishBatch(host, paths, requestsOf(indices, events, maxBytes), refused, done).giveUp
    }
    const publish = (topic: string, batch: ReadonlyArray<TopicEvent>) =>
      Effect.async<ReadonlyArray<PublishFailure>, PubSubUnavailable>((resume) =>
        Effect.sync(start(topic, batch, resume))
      )

    const loaded = httpGet(sidecar.http, { path: "/v1.0/metadata", headers: sidecar.headers, patience }).pipe(
      Effect.mapError(({ message }) => `the sidecar: ${message}`),
      Effect.flatMap(({ body, status }) => {
        if (status !== 200) {
          return Effect.fail(`the sidecar answers ${status} ${messageOf(body)}${status === 401 ? TOKEN_HINT : ""}`)
        }
        const lack = missing(need, componentsOf(body) ?? [])
        return lack === undefined ? Effect.void : Effect.fail(lack)
      })
    )

    return {
      orderedWithinBatch: false,
      maxEventBytes: maxBytes,
      publish: Object.assign(publish, { start }),
      subscribe: () =>
        Effect.fail(
          new NotAvailable({
            feature: "Subscribe",
            reason: `topics are the broker's: subscribe there, as a Dapr application to the pub/sub component ${component}`
          })
        ),
      ping: loaded.pipe(
        Effect.zipRight(Effect.suspend(() => outcomes.check)),
        Effect.mapError((reason) => new PubSubUnavailable({ reason }))
      )
    }
  })

/** The bus of a manager whose backing is Dapr. */
export const layer = (options: Options): Layer.Layer<PubSub, NotAvailable, Sidecar> =>
  Layer.effect(PubSub, make(options))

const tooLarge = (event: TopicEvent, maxBytes: number): string =>
  `the event has ${encodedSize(event)} bytes as encoded, and WSM_PUBLISH_MAX_BYTES allows ${maxBytes}`

/** A character becomes at most three bytes, so an event is hardly ever measured. */
const isBelow = (event: string, bytes: number): boolean => event.length * 3 < bytes || Buffer.byteLength(event) < bytes

/** A topic as the rest of a path; one of dots alone would be taken for a step in it. */
const topicPath = (topic: string): string =>
  /^\.{1,2}$/.test(topic) ? topic.replaceAll(".", "%2E") : encodeURIComponent(topic)
