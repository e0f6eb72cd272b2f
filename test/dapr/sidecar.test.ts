/** The sidecar that all tests of this folder use: every component loads, answers, and nothing is left behind. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as C from "../support/Components.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { streamEvents } from "../support/RedisStream.js"
import { startSidecar, type Sidecar } from "../support/Sidecar.js"
import { subscribe } from "../support/Subscriber.js"

const publish = (sidecar: Sidecar, topic: string, data: unknown) =>
  Effect.promise(async () => {
    const response = await fetch(`${sidecar.url}/v1.0/publish/${C.PUBSUB}/${topic}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(data)
    })
    return response.status
  })

requiring("daprd", "redis")("A sidecar on Redis", () => {
  it.scopedLive("keeps state and delivers what is published, to a subscriber and in the stream", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)] })
      const subscriber = yield* subscribe({ sidecar, topic: "orders" })
      for (let n = 0; n < 20; n++) expect(yield* publish(sidecar, "orders", { n })).toBe(204)
      const events = yield* subscriber.received(20)
      expect(events.map(({ data }) => String(data))).toEqual(Array.from({ length: 20 }, (_, n) => `{"n":${n}}`))
      const stream = yield* Effect.promise(() => streamEvents(redis.port, "orders"))
      expect(stream.map(({ data }) => data)).toEqual(Array.from({ length: 20 }, (_, n) => ({ n })))
      expect(yield* sidecar.metadata).toMatchObject({ id: "wsm" })
    })
  )
})
