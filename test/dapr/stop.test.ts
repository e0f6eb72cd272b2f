/** How an instance ends together with its sidecar, and how it outlives one that ends alone. */
import { afterEach, beforeAll, expect } from "vitest"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { built } from "../cli/runWsm.js"
import { cleanUp, Instance, logOf, sleep, until } from "../process/instanceProcess.js"
import * as C from "../support/Components.js"
import { freePort } from "../support/Ports.js"
import { type Redis, startRedis } from "../support/Redis.js"
import { streamEvents } from "../support/RedisStream.js"
import { requiring } from "../support/Requirements.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { startSidecar } from "../support/Sidecar.js"
import { beside, scoped } from "./besideSidecar.js"

const TIMEOUT = 120_000

/** As the manifests have it, but for the pace of the probes. */
const DRAINING = [
  "--dapr-block-shutdown-duration=45s",
  "--dapr-graceful-shutdown-seconds=5",
  "--enable-app-health-check",
  "--app-health-probe-interval=1",
  "--app-health-threshold=2"
]

const webSocketServer = scoped(
  () => ScriptedServer.start(),
  (server) => server.stop()
)

/** A record as Dapr's Redis store keeps it. */
const recordOf = (redis: Redis, key: string) =>
  Effect.map(redis.command("HGET", key, "data"), (reply) => JSON.parse(String(reply)) as Record<string, unknown>)

const textsOf = (redis: Redis, topic: string) =>
  Effect.promise(async () => (await streamEvents(redis.port, topic)).map(({ data }) => data))

requiring("daprd", "redis")("SIGTERM to an instance and its sidecar together", () => {
  beforeAll(built, 120_000)
  afterEach(cleanUp)

  it.scopedLive(
    "the sidecar stays until the last record is written, and goes soon after",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis()
        const appPort = yield* freePort
        const sidecar = yield* startSidecar({
          resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)],
          appPort,
          appToken: "app-tok",
          flags: DRAINING
        })
        const server = yield* webSocketServer
        const instance = yield* Effect.promise(() =>
          Instance.start(
            beside(sidecar, {
              WSM_INSTANCE_ID: "one",
              WSM_GRPC_PORT: String(appPort),
              WSM_MAX_CONNECTIONS: "100",
              APP_API_TOKEN: "app-tok",
              // seconds of a drain in which nothing but health tells the sidecar to stay
              WSM_DRAIN_MODE: "wait",
              WSM_DRAIN_TIMEOUT: "8 seconds"
            })
          )
        )
        const { id } = yield* Effect.promise(() => instance.connect({ url: server.url, topic: "prices" }))
        server.last.send("first")
        yield* Effect.promise(() => until(async () => (await streamEvents(redis.port, "prices")).length === 1, "one"))
        // the sidecar has seen its application, and finds it well
        yield* Effect.promise(() =>
          until(async () => (await fetch(`${sidecar.url}/v1.0/healthz`)).status === 204, "well")
        )

        process.kill(sidecar.pid()!, "SIGTERM")
        const began = Date.now()
        const ended = instance.end("SIGTERM")
        yield* Effect.promise(() => until(() => instance.logged("instance-draining").length === 1, "draining"))
        yield* Effect.sleep("5 seconds")
        server.last.send("while it drains")
        const { millis, status } = yield* Effect.promise(() => ended)
        expect(status).toBe(0)
        expect(millis).toBeGreaterThan(5500)
        expect(sidecar.pid()).toBeDefined()
        const outcome = yield* sidecar.ended
        expect(outcome).toBe(0)
        // two probes, a second apart, and its own end; not the 45 seconds it would stay
        expect(Date.now() - began).toBeLessThan(millis + 15_000)

        expect(yield* textsOf(redis, "prices")).toEqual(["first", "while it drains"])
        expect(yield* recordOf(redis, "websocketmanager/instances/one")).toMatchObject({ id: "one", status: "left" })
        const record = yield* recordOf(redis, `websocketmanager/connections/${id}`)
        expect(record).toMatchObject({ owner: "one", last: { sequence: 2 } })
        const types = yield* Effect.promise(() => streamEvents(redis.port, "websocketmanager.lifecycle"))
        expect(types.at(-1)!["type"]).toBe("websocketmanager.instance-left")
        expect(logOf(instance.process).filter(({ level }) => level !== "INFO" && level !== "DEBUG")).toEqual([])
      }),
    TIMEOUT
  )
})

requiring("daprd", "redis")("SIGTERM to an instance whose sidecar is gone", () => {
  beforeAll(built, 120_000)
  afterEach(cleanUp)

  it.scopedLive(
    "it closes its sockets, says what could not be published, and ends by the drain timeout",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis()
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)] })
        const server = yield* webSocketServer
        const env = beside(sidecar, { WSM_DRAIN_TIMEOUT: "2 seconds" })
        const instance = yield* Effect.promise(() => Instance.start(env))
        const { id } = yield* Effect.promise(() => instance.connect({ url: server.url, topic: "prices" }))
        yield* sidecar.kill
        for (let i = 0; i < 3; i++) server.last.send(`frame ${i}`)
        yield* Effect.promise(() => until(async () => (await instance.get(id)).framesReceived === 3, "three frames"))
        const { millis, status } = yield* Effect.promise(() => instance.end("SIGTERM"))
        expect(status).toBe(0)
        expect(millis).toBeLessThan(2000 + 5000)
        yield* Effect.promise(() => server.until(() => server.connections() === 0))
        expect(server.last.closeCode).toBe(1001)
        expect(logOf(instance.process).map(({ message }) => message)).toContainEqual(
          expect.stringMatching(/^\d+ frames could not be published in time and are lost/)
        )
      }),
    TIMEOUT
  )
})

requiring("daprd", "redis")("a sidecar that is away for seconds", () => {
  beforeAll(built, 120_000)
  afterEach(cleanUp)

  it.scopedLive(
    "costs no socket and no frame: they wait, and go on in order when it is back",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis()
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)] })
        const server = yield* webSocketServer
        const instance = yield* Effect.promise(() =>
          Instance.start(beside(sidecar, { WSM_HEARTBEAT_INTERVAL: "500 millis", WSM_HEARTBEAT_TTL: "1500 millis" }))
        )
        const ids = yield* Effect.promise(async () => {
          const opened = []
          for (const topic of ["a", "b", "c"]) opened.push(await instance.connect({ url: server.url, topic }))
          return opened.map(({ id }) => id)
        })
        let count = 0
        const feed = async (millis: number) => {
          for (const end = Date.now() + millis; Date.now() < end; await sleep(10)) {
            count++
            for (const peer of server.peers) peer.send(`frame ${count}`)
          }
        }
        yield* Effect.promise(() => feed(1000))
        yield* sidecar.kill
        yield* Effect.promise(() => feed(5000))
        yield* sidecar.start
        yield* Effect.promise(() => feed(1000))

        const wanted = Array.from({ length: count }, (_, i) => `frame ${i + 1}`)
        for (const [index, topic] of ["a", "b", "c"].entries()) {
          yield* Effect.promise(() =>
            until(
              async () => {
                const events = await streamEvents(redis.port, topic)
                return events.at(-1)?.["data"] === wanted.at(-1)
              },
              `the last frame on ${topic}`,
              30_000
            )
          )
          // the request that was cut may have landed: what is repeated has the same id, and comes before anything new
          const events = yield* Effect.promise(() => streamEvents(redis.port, topic))
          const first = events.filter(({ id }, i) => events.findIndex((event) => event["id"] === id) === i)
          expect(first.map(({ data }) => data)).toEqual(wanted)
          expect(new Set(events.map(({ epoch }) => epoch)).size).toBe(1)
          const view = yield* Effect.promise(() => instance.get(ids[index]!))
          expect([view.framesReceived, view.framesDropped]).toEqual([count, 0])
        }
        expect(server.peers.map(({ open }) => open)).toEqual([true, true, true])
        expect(instance.logged("gap")).toEqual([])
        expect(instance.logged("instance-joined").length).toBeLessThanOrEqual(1)
      }),
    TIMEOUT
  )
})
