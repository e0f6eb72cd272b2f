/** What is just under a limit is taken by the sidecar itself; what is over it, or refused, costs its own event and no other. */
import { createHash, randomUUID } from "node:crypto"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { encodedSize } from "../../src/domain/CloudEvent.js"
import { Frame, FramePack, type FrameOrigin } from "../../src/domain/Frame.js"
import { readEvent } from "../../src/domain/ReadEvent.js"
import type { TopicEvent } from "../../src/ports/PubSub.js"
import { streamEntries, streamEvents, streamLength } from "../support/RedisStream.js"
import { requiring } from "../support/Requirements.js"
import { connect, inMemory, MIB, onJetstream, onRedis } from "./sidecarBrokers.js"

const LIMIT = 4 * MIB

const originOf = (textContentType = "text/plain"): FrameOrigin => ({
  connectionId: randomUUID(),
  connectionUrl: "wss://example.com/feed",
  instanceId: "host-1",
  epoch: 1_800_000_000,
  textContentType
})
const frame = (data: string | Buffer, origin = originOf()) =>
  new Frame(origin, 1, 1_700_000_000_000, typeof data !== "string", Buffer.from(data as string))

const hash = (text: string) => createHash("sha256").update(text).digest("hex")

/** Events of any size as encoded, from so many units of payload on. */
const KINDS: ReadonlyArray<readonly [name: string, make: (units: number) => TopicEvent, bytesOfUnit: number]> = [
  ["ASCII", (n) => frame("a".repeat(n)), 1],
  ["JSON text", (n) => frame(`[${'{"a":"\\n"},'.repeat(200_000)}${"1".repeat(n)}]`), 1],
  ["control characters", (n) => frame("\u0001".repeat(n)), 6],
  ["text of another type", (n) => frame("a".repeat(n), originOf("application/json")), 4 / 3],
  ["binary", (n) => frame(Buffer.alloc(n, 0xff)), 4 / 3],
  ["a pack", (n) => new FramePack(originOf(), [frame("x"), frame('"'.repeat(500_000)), frame("é".repeat(n / 2))]), 1]
]

/** The largest event of a kind that has at most so many bytes, and the next larger one. */
const around = (make: (units: number) => TopicEvent, bytesOfUnit: number, limit: number) => {
  let units = Math.floor((limit - encodedSize(make(0))) / bytesOfUnit) - 8
  while (encodedSize(make(units + 1)) <= limit) units++
  let over = units + 1
  while (encodedSize(make(over)) <= limit) over++
  return { under: make(units), over: make(over) }
}

requiring("daprd", "redis")("the body limit of the sidecar", () => {
  it.scopedLive(
    "the largest event it takes is taken, one more unit is refused by name, and neighbours are published",
    () =>
      Effect.gen(function* () {
        const { redis, sidecar } = yield* onRedis()
        const pubsub = yield* connect(sidecar, { maxBytes: LIMIT })
        for (const [name, make, bytesOfUnit] of KINDS) {
          const topic = `t-${name}`
          const { over, under } = around(make, bytesOfUnit, LIMIT)
          expect([name, LIMIT - encodedSize(under) < bytesOfUnit * 2]).toEqual([name, true])
          expect([name, yield* pubsub.publish(topic, [under])]).toEqual([name, []])
          const [failure, ...others] = yield* pubsub.publish(topic, [frame("before"), over, frame("behind")])
          expect(others).toEqual([])
          expect(failure).toMatchObject({ index: 1, transient: false })
          expect(failure!.reason).toContain(`${encodedSize(over)} bytes`)
          expect(failure!.reason).toContain(`WSM_PUBLISH_MAX_BYTES allows ${LIMIT}`)
          expect(yield* Effect.promise(() => streamLength(redis!.port, topic))).toBe(3)
        }
      })
  )

  it.scopedLive("exactly the limit is taken, and the sidecar itself refuses one byte more", () =>
    Effect.gen(function* () {
      const { redis, sidecar } = yield* onRedis()
      const origin = originOf()
      const exact = frame("a".repeat(LIMIT - encodedSize(frame("", origin))), origin)
      const one = frame("a".repeat(exact.data.length + 1), origin)
      expect([encodedSize(exact), encodedSize(one)]).toEqual([LIMIT, LIMIT + 1])
      const pubsub = yield* connect(sidecar, { maxBytes: LIMIT })
      expect(yield* pubsub.publish("t", [exact])).toEqual([])
      const unaware = yield* connect(sidecar, { maxBytes: 2 * LIMIT })
      const [failure] = yield* unaware.publish("t", [one])
      expect(failure).toMatchObject({ index: 0, transient: false })
      expect(failure!.reason).toContain("WSM_PUBLISH_MAX_BYTES")
      expect(failure!.reason).toContain("--max-body-size")
      expect(yield* Effect.promise(() => streamLength(redis!.port, "t"))).toBe(1)
    })
  )

  it.scopedLive(
    "a pack around it is stored whole or refused, also where the sidecar takes less than it is told to",
    () =>
      Effect.gen(function* () {
        const { redis, sidecar } = yield* onRedis()
        const origin = originOf()
        const packOf = (last: string) => new FramePack(origin, [frame("first", origin), frame(last, origin)])
        const sized = (bytes: number) => packOf("a".repeat(bytes - encodedSize(packOf(""))))
        const aware = yield* connect(sidecar, { maxBytes: LIMIT })
        const unaware = yield* connect(sidecar, { maxBytes: 2 * LIMIT })
        const taken = function* (pubsub: typeof aware, bytes: number) {
          const [failure] = yield* pubsub.publish(`${bytes}`, [sized(bytes)])
          if (failure !== undefined) expect([bytes, failure]).toMatchObject([bytes, { index: 0, transient: false }])
          const stored = yield* Effect.promise(() => streamEntries(redis!.port, `${bytes}`))
          for (const { data } of stored)
            expect(readEvent(JSON.parse(data.toString()))).toMatchObject({ kind: "frames" })
          return [bytes - LIMIT, failure === undefined, stored.length]
        }
        for (const bytes of [-2, -1, 0]) expect(yield* taken(aware, LIMIT + bytes)).toEqual([bytes, true, 1])
        for (const bytes of [1, 2, 3]) expect(yield* taken(unaware, LIMIT + bytes)).toEqual([bytes, false, 0])
      })
  )

  it.scopedLive("a batch is cut by it into requests that the sidecar takes", () =>
    Effect.gen(function* () {
      const { redis, sidecar } = yield* onRedis()
      const pubsub = yield* connect(sidecar, { maxBytes: LIMIT })
      const contents = [
        ...Array.from({ length: 12 }, (_, n) => `${n}`.padEnd(250_000, "ä")),
        ...Array.from({ length: 20 }, (_, n) => `${n + 40}`.padEnd(1 + n * 4000, '"')),
        "x".repeat(4_100_000)
      ]
      expect(
        yield* pubsub.publish(
          "t",
          contents.map((content) => frame(content))
        )
      ).toEqual([])
      expect(yield* sidecar.metric("dapr_http_server_request_count", { status: "204" })).toBeGreaterThan(3)
      expect(yield* sidecar.metric("dapr_http_server_request_count", { status: "400" })).toBe(0)
      const stored = yield* Effect.promise(() => streamEvents(redis!.port, "t"))
      const shown = (contents: ReadonlyArray<unknown>) => contents.map((content) => hash(String(content))).toSorted()
      expect(shown(stored.map(({ data }) => data))).toEqual(shown(contents))
    })
  )

  it.scopedLive("a batch that it refuses as a whole costs only the events that are too large alone", () =>
    Effect.gen(function* () {
      const { redis, sidecar } = yield* onRedis({ maxBodySize: "1Mi" })
      const pubsub = yield* connect(sidecar, { maxBytes: LIMIT })
      const large = frame("x".repeat(MIB))
      const batch = [...Array.from({ length: 20 }, (_, n) => frame(`${n}`.padEnd(100_000, "."))), large, frame("last")]
      const failures = yield* pubsub.publish("t", batch)
      expect(failures.map(({ index, transient }) => [index, transient])).toEqual([[20, false]])
      const stored = yield* Effect.promise(() => streamEvents(redis!.port, "t"))
      // singly, so that they are in order
      expect(stored.map(({ id }) => id)).toEqual(
        batch.filter((event) => event !== large).map(({ origin }) => `${origin.connectionId}:${origin.epoch}:1`)
      )
    })
  )
})

requiring("daprd", "nats")("the limit of a broker", () => {
  it.scopedLive(
    "an event that the broker will never take is refused, in bulk and alone, and its neighbours are published",
    () =>
      Effect.gen(function* () {
        const { nats, sidecar } = yield* onJetstream({ maxPayload: MIB })
        const pubsub = yield* connect(sidecar, { maxBytes: LIMIT })
        const large = frame("x".repeat(2 * MIB))
        for (const [batch, index] of [
          [[large], 0],
          [[frame("a"), large, frame("b")], 1]
        ] as const) {
          const [failure, ...others] = yield* pubsub.publish("t", batch)
          expect(others).toEqual([])
          expect(failure).toMatchObject({ index, transient: false })
          expect(failure!.reason).toContain("WSM_PUBLISH_MAX_BYTES")
        }
        expect(yield* nats!.messages("t")).toHaveLength(2)
      })
  )

  it.scopedLive("a topic without a stream is a failure that may pass", () =>
    Effect.gen(function* () {
      const { sidecar } = yield* onJetstream()
      const pubsub = yield* connect(sidecar)
      const failures = yield* Effect.either(pubsub.publish("no.such.subject", [frame("a"), frame("b")]))
      expect(failures).toMatchObject({ right: [{ transient: true }, { transient: true }] })
      expect((yield* Effect.flip(pubsub.ping)).message).toContain("publishing fails since")
      expect(yield* pubsub.publish("t", [frame("a")])).toEqual([])
      yield* pubsub.ping
    })
  )
})

requiring("daprd", "redis")("a topic that the sidecar refuses", () => {
  it.scopedLive("is refused for good, singly and in bulk, and others are not", () =>
    Effect.gen(function* () {
      for (const metadata of [{ allowedTopics: "mine,too" }, { publishingScopes: "wsm=mine,too" }]) {
        const { redis, sidecar } = yield* onRedis({ component: { metadata } })
        const pubsub = yield* connect(sidecar)
        for (const count of [1, 3]) {
          const batch = Array.from({ length: count }, () => frame("x"))
          const failures = yield* pubsub.publish("other", batch)
          expect(failures.map(({ index, transient }) => [index, transient])).toEqual(batch.map((_, i) => [i, false]))
          expect(failures[0]!.reason).toContain("topic other is not allowed")
          expect(yield* pubsub.publish("mine", batch)).toEqual([])
        }
        expect(yield* Effect.promise(() => streamLength(redis!.port, "mine"))).toBe(4)
        expect(yield* Effect.promise(() => streamLength(redis!.port, "other"))).toBe(0)
      }
    })
  )
})

requiring("daprd")("a component that is gone", () => {
  it.scopedLive("costs no event: that is the broker being away, and health names it", () =>
    Effect.gen(function* () {
      const { sidecar } = yield* inMemory()
      const pubsub = yield* connect(sidecar)
      const folder = join(sidecar.folder, "resources")
      const file = join(folder, readdirSync(folder)[0]!)
      const yaml = readFileSync(file)
      const publish = (count: number) => pubsub.publish("t", [frame("a"), frame("b")].slice(0, count))
      expect(yield* publish(2)).toEqual([])

      rmSync(file)
      yield* Effect.retry(Effect.flip(publish(1)), Schedule.spaced("20 millis")).pipe(Effect.timeout("5 seconds"))
      for (const count of [1, 2]) {
        const error = yield* Effect.flip(publish(count))
        expect(error._tag).toBe("PubSubUnavailable")
        expect(error.message).toContain("ERR_PUBSUB_NOT_FOUND")
      }
      expect((yield* Effect.flip(pubsub.ping)).message).toContain("WSM_PUBSUB")

      writeFileSync(file, yaml)
      yield* Effect.retry(publish(1), Schedule.spaced("20 millis")).pipe(Effect.timeout("5 seconds"))
      expect(yield* publish(2)).toEqual([])
      yield* pubsub.ping
    })
  )
})
