/** P01–P07 over a real sidecar and real brokers; what refuses an entry, or a start. */
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { pubSubConformance } from "../conformance/PubSubConformance.js"
import { requiring } from "../support/Requirements.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { type Broker, connect, inMemory, onJetstream, onRedis, readThrough } from "./sidecarBrokers.js"
import { shared } from "./shared.js"

const suite = (name: string, start: Effect.Effect<Broker, Error, Scope.Scope>): void => {
  const broker = shared(start)
  const harness = Effect.gen(function* () {
    const { sidecar } = yield* broker
    const proxy = yield* StallingProxy.start(sidecar.httpPort)
    const pubsub = yield* connect(sidecar, { httpPort: proxy.port, deadline: "2 seconds" })
    return { pubsub, read: readThrough(sidecar), deadline: Duration.seconds(5), stall: proxy.stall }
  })
  pubSubConformance(name, harness, { live: true })
}

requiring("daprd")("DaprPubSub on in-memory", () => suite("daprd, in-memory", inMemory()))
requiring("daprd", "redis")("DaprPubSub on Redis", () => suite("daprd, redis", onRedis()))
requiring("daprd", "nats")("DaprPubSub on JetStream", () => suite("daprd, jetstream", onJetstream()))

requiring("daprd")("DaprPubSub at its start", () => {
  it.scopedLive("a component that is not loaded is refused by name, with those that are", () =>
    Effect.gen(function* () {
      const { sidecar } = yield* inMemory()
      const { message } = yield* Effect.flip(connect(sidecar, { component: "orders" }))
      expect(message).toContain("WSM_PUBSUB")
      expect(message).toContain("orders")
      expect(message).toContain("wsm-pubsub (pubsub.in-memory)")
    })
  )

  it.scopedLive("reading a topic is the broker's", () =>
    Effect.gen(function* () {
      const { sidecar } = yield* inMemory()
      const pubsub = yield* connect(sidecar)
      const error = yield* Effect.flip(pubsub.subscribe("t"))
      expect(error._tag).toBe("NotAvailable")
      expect(error.message).toContain("the broker")
    })
  )
})
