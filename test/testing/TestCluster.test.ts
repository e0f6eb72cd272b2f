/** What is exported for those who embed the manager: a cluster that can fail, under the test clock and in real time. */
import { it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { describe, expect } from "vitest"
import * as ClientWrapper from "../../src/socket/ClientWrapper.js"
import { Crashed, TestCluster } from "../../src/testing/TestCluster.js"
import { ScriptedServer } from "../support/ScriptedServer.js"

/** Steps the test clock until the condition holds. */
const stepping = (condition: () => boolean, limit = 600) =>
  Effect.gen(function* () {
    for (let i = 0; i < limit && !condition(); i++) yield* TestClock.adjust("50 millis")
    expect(condition()).toBe(true)
  })

/** Runs beside, the test clock stepping, until it is done. */
const done = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    for (let i = 0; i < 600 && (yield* Fiber.poll(fiber))._tag === "None"; i++) yield* TestClock.adjust("50 millis")
    return yield* Fiber.join(fiber)
  })

const joined = (instances: number, options = {}) =>
  Effect.gen(function* () {
    const cluster = yield* TestCluster.make({ instances, ...options })
    yield* stepping(() => cluster.instances.every(({ number }) => cluster.isReady(number)))
    return cluster
  })

/** What asked for the end of the turn has had it: that is real time, which the test clock does not drive. */
const turnOfTheLoop = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

const openAt = (cluster: TestCluster): ReadonlyArray<number> => [...cluster.sockets.open].map((s) => s.instance)
const connect = (cluster: TestCluster, number: number) =>
  done(cluster.run(number, (manager) => manager.connect({ url: "ws://feed.test/", topic: "t", awaitOpen: true })))

describe("a cluster under the test clock", () => {
  it.scoped("takes over from a crashed instance, whose calls fail as crashed", () =>
    Effect.gen(function* () {
      const cluster = yield* joined(3)
      const { connection } = yield* connect(cluster, 0)
      expect(openAt(cluster)).toEqual([0])
      cluster.crash(0)
      expect(openAt(cluster)).toEqual([])
      const call = yield* Effect.either(done(cluster.run(0, (manager) => manager.get(connection.id))))
      expect(Either.getLeft(call)).toMatchObject({ value: new Crashed(0) })
      yield* stepping(() => openAt(cluster).length === 1 && openAt(cluster)[0] !== 0)
      const found = yield* done(cluster.run(1, (manager) => manager.get(connection.id)))
      expect(found.epoch).toBeGreaterThan(connection.epoch)
    })
  )

  it.scoped("a frozen instance says nothing, and its frames wait for it", () =>
    Effect.gen(function* () {
      const cluster = yield* joined(2)
      yield* connect(cluster, 0)
      const [socket] = cluster.sockets.open
      // received, and to be published at the end of this turn of the event loop: that comes when it is frozen already
      socket!.send("right before")
      cluster.freeze(0)
      cluster.bus.published.length = 0
      socket!.send("while it sleeps")
      yield* TestClock.adjust("1 second")
      yield* turnOfTheLoop
      expect(cluster.bus.published.filter(({ instance }) => instance === 0)).toEqual([])
      cluster.thaw(0)
      const frames = () =>
        cluster.bus.published.flatMap(({ event, instance }) =>
          instance === 0 && event.kind === "frame" ? [event.data.toString()] : []
        )
      yield* stepping(() => frames().length === 2)
      expect(frames()).toEqual(["right before", "while it sleeps"])
    })
  )

  it.scoped("one that is cut off alone loses its connections, and has them taken over", () =>
    Effect.gen(function* () {
      const cluster = yield* joined(2)
      yield* connect(cluster, 0)
      cluster.cutFromStore(0)
      yield* stepping(() => openAt(cluster)[0] === 1)
      cluster.heal(0)
      yield* stepping(() => cluster.isReady(0))
      expect(openAt(cluster)).toEqual([1])
    })
  )

  it.scoped("an outage of the store costs no socket while the instances talk, and one where they are cut, too", () =>
    Effect.gen(function* () {
      const cluster = yield* joined(2)
      yield* connect(cluster, 0)
      const [socket] = cluster.sockets.open
      // until they know each other: a beat of each, and a read
      for (let i = 0; i < 40; i++) yield* TestClock.adjust("100 millis")
      cluster.outage()
      for (let i = 0; i < 120; i++) yield* TestClock.adjust("100 millis")
      expect(socket!.isOpen).toBe(true)
      cluster.cutFromPeers(0, 1)
      yield* stepping(() => !socket!.isOpen)
      cluster.heal()
      yield* stepping(() => openAt(cluster).length === 1)
    })
  )

  it.scoped("an instance that stops gives its connections away, and one with its id comes back", () =>
    Effect.gen(function* () {
      const cluster = yield* joined(2)
      yield* connect(cluster, 0)
      yield* done(cluster.stop(0))
      yield* stepping(() => openAt(cluster)[0] === 1)
      const { address, id } = cluster.instances[0]!
      const again = cluster.start({ id, address })
      yield* stepping(() => cluster.isReady(again))
      expect(openAt(cluster)).toEqual([1])
    })
  )
})

describe("a cluster in real time, over real sockets", () => {
  it.scopedLive(
    "takes over from a crashed instance, whose sockets break",
    () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const cluster = yield* TestCluster.make({
          instances: 2,
          client: ClientWrapper.layer(),
          settings: { heartbeatInterval: Duration.millis(500), heartbeatTtl: Duration.millis(1500) }
        })
        yield* cluster.joined
        yield* cluster.run(0, (manager) => manager.connect({ url: server.url, topic: "t", awaitOpen: true }))
        const [peer] = server.peers
        cluster.freeze(0)
        peer!.send("held")
        cluster.crash(0)
        yield* cluster.until(() => server.peers.length === 2)
        expect(cluster.bus.published.filter(({ event }) => event.kind === "frame")).toEqual([])
        server.peers[1]!.send("taken over")
        yield* cluster.until(() =>
          cluster.bus.published.some(({ event, instance }) => instance === 1 && event.kind === "frame")
        )
      }),
    20_000
  )
})
