/** Brokers behind a real sidecar, and our adapter on it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as DaprPubSub from "../../src/adapters/dapr/DaprPubSub.js"
import * as SidecarClient from "../../src/adapters/dapr/Sidecar.js"
import { PubSub } from "../../src/ports/PubSub.js"
import type { Received } from "../conformance/PubSubConformance.js"
import * as C from "../support/Components.js"
import { type Nats, startNats } from "../support/Nats.js"
import { type Redis, startRedis } from "../support/Redis.js"
import { type Sidecar, type SidecarOptions, startSidecar } from "../support/Sidecar.js"
import { type ReceivedEvent, subscribe } from "../support/Subscriber.js"

export const MIB = 1024 * 1024

export interface ConnectOptions extends Partial<DaprPubSub.Options> {
  /** in place of the sidecar's own, a proxy's in front of it */
  readonly httpPort?: number
}

/** The adapter, as the manager has it. */
export const connect = (sidecar: Pick<Sidecar, "httpPort" | "grpcPort">, options: ConnectOptions = {}) => {
  const { httpPort = sidecar.httpPort, ...rest } = options
  const endpoint = { host: "127.0.0.1", httpPort, grpcPort: sidecar.grpcPort, apiToken: undefined }
  const client = SidecarClient.layer({ endpoint, needs: [], wait: Duration.seconds(10) })
  const layer = DaprPubSub.layer({ component: C.PUBSUB, maxBytes: 4 * MIB, deadline: "5 seconds", ...rest })
  return Effect.map(Layer.build(layer.pipe(Layer.provide(client))), (context) => Layer.succeedContext(context)).pipe(
    Effect.flatMap((built) => Effect.provide(PubSub, built))
  )
}

/** A broker, and a sidecar on it. */
export interface Broker {
  readonly sidecar: Sidecar
  readonly redis: Redis | undefined
  readonly nats: Nats | undefined
}

type Started = Effect.Effect<Broker, Error, Scope.Scope>

export const inMemory = (options: SidecarOptions = {}): Started =>
  Effect.map(startSidecar({ resources: [C.pubsubInMemory()], ...options }), (sidecar) => ({
    sidecar,
    redis: undefined,
    nats: undefined
  }))

export const onRedis = (
  options: SidecarOptions & { readonly persistent?: boolean; readonly component?: C.ComponentOptions } = {}
): Started =>
  Effect.gen(function* () {
    const { component, persistent = true, ...rest } = options
    const redis = yield* startRedis({ persistent })
    const sidecar = yield* startSidecar({ resources: [C.pubsubRedis(redis.port, component)], ...rest })
    return { sidecar, redis, nats: undefined }
  })

export const onJetstream = (options: SidecarOptions & { readonly maxPayload?: number } = {}): Started =>
  Effect.gen(function* () {
    const { maxPayload, ...rest } = options
    const nats = yield* startNats(maxPayload === undefined ? {} : { maxPayload })
    const sidecar = yield* startSidecar({ resources: [C.pubsubJetstream(nats.url, nats.stream)], ...rest })
    return { sidecar, redis: undefined, nats }
  })

/** A stock subscriber's events, as the conformance suite compares them. */
export const readThrough = (sidecar: Sidecar) => (topic: string) =>
  Effect.map(subscribe({ sidecar, topic }), (subscriber) => {
    let taken = 0
    const take = Effect.map(subscriber.received(taken + 1), () => {
      const events = subscriber.events.slice(taken)
      taken = subscriber.events.length
      return events.flatMap(receivedOf)
    })
    return { take: Effect.orDie(Effect.suspend(() => Effect.zipRight(subscriber.received(taken + 1), take))) }
  })

/** What a delivered event holds; a pack is its frames. */
export const receivedOf = ({ data, dataContentType, extensions, type }: ReceivedEvent): ReadonlyArray<Received> => {
  const connectionId = String(extensions["connectionid"])
  if (type === "websocketmanager.frames") {
    const items = JSON.parse(data.toString()) as ReadonlyArray<{ s: number; text?: string; base64?: string }>
    return items.map(({ base64, s, text }) => ({
      connectionId,
      sequence: s,
      binary: base64 !== undefined,
      data: base64 === undefined ? Buffer.from(text!) : Buffer.from(base64, "base64")
    }))
  }
  if (type === "websocketmanager.frame") {
    const binary = dataContentType === "application/octet-stream"
    return [{ connectionId, sequence: Number(extensions["sequence"]), binary, data }]
  }
  return [{ connectionId, sequence: 0, binary: false, data: Buffer.from(type.slice("websocketmanager.".length)) }]
}
