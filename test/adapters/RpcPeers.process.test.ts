import { once } from "node:events"
import { createServer as createHttpsServer } from "node:https"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { beforeAll, describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Duration from "effect/Duration"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as RpcPeers from "../../src/adapters/peers/RpcPeers.js"
import * as HttpListener from "../../src/api/http/HttpListener.js"
import * as PeerRoute from "../../src/api/http/PeerRoute.js"
import * as PeerDoor from "../../src/api/rpc/PeerDoor.js"
import { Settings } from "../../src/config/Settings.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { Essentials } from "../../src/observability/Essentials.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { Peers, PeerService } from "../../src/ports/Peers.js"
import { keyOf, PeerCredential } from "../../src/rpc/PeerProof.js"
import { desk, GREETING, ME, peersConformance, type PeersHarness, timed } from "../conformance/PeersConformance.js"
import { settings } from "../support/FakeDoors.js"
import { PeerNetwork } from "../support/PeerNetwork.js"
import { freePort } from "../support/Ports.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { TEST_CERT as cert, TEST_KEY as key } from "../support/testCertificate.js"

const INTERVAL = Duration.seconds(2)
const PATIENT = Duration.seconds(40)

const SECRET = "a secret of this fleet"
/** Where a listener is dialled; a proxy before it is named once it is there. */
interface Self {
  readonly id: string
  address: string
}
const credential = (secrets: ReadonlyArray<string>, self: Self) =>
  Layer.succeed(PeerCredential, { keys: secrets.map(keyOf), self })

/** A peer's listener with its door, as the server has it. */
const listen = (...secrets: ReadonlyArray<string>) =>
  listenUnder(Layer.provide(Essentials.layer, Metrics.layer), secrets)

const listenUnder = (essentials: Layer.Layer<Essentials>, secrets: ReadonlyArray<string>) => {
  const self: Self = { id: "peer", address: "" }
  return Effect.map(
    Layer.build(
      PeerRoute.layer.pipe(
        Layer.provideMerge(PeerDoor.layer),
        Layer.provideMerge(HttpListener.peerLayer),
        Layer.provideMerge(HttpListener.layer),
        Layer.provide(essentials),
        Layer.provide(credential(secrets.length === 0 ? [SECRET] : secrets, self)),
        Layer.provide(Layer.succeed(Settings, settings()))
      )
    ),
    (context) => {
      const listener = Context.get(context, HttpListener.HttpListener)
      self.address = listener.address
      return { listener, door: Context.get(context, PeerDoor.PeerDoor), self }
    }
  )
}

const speakBy = (secrets: ReadonlyArray<string>, changes: Partial<SettingsShape> = {}) =>
  Effect.map(
    Layer.build(
      RpcPeers.layer.pipe(
        Layer.provide(credential(secrets, { id: ME.id, address: ME.address })),
        Layer.provide(Layer.succeed(Settings, settings({ heartbeatInterval: INTERVAL, ...changes })))
      )
    ),
    Context.get(Peers)
  )
const speak = (heartbeatInterval: Duration.Duration = INTERVAL) => speakBy([SECRET], { heartbeatInterval })

/** Real sockets; what happens to the peer's process happens to a proxy before it. */
const real = Effect.gen(function* () {
  const { door, listener, self } = yield* listen()
  const proxy = yield* StallingProxy.start(listener.port)
  self.address = `http://127.0.0.1:${proxy.port}`
  const harness: PeersHarness = {
    peers: yield* speak(),
    to: `http://127.0.0.1:${proxy.port}`,
    nobody: `http://127.0.0.1:${yield* freePort}`,
    serve: door.serve,
    crash: proxy.refuse,
    freeze: proxy.stall,
    thaw: proxy.resume,
    reset: proxy.cut,
    deadline: Duration.toMillis(INTERVAL) / 2
  }
  return harness
})

const A = "http://a:1"
const B = "http://b:1"

const inMemory = Effect.gen(function* () {
  const network = new PeerNetwork({ deadlineMs: 1_000 })
  network.listen(B)
  const harness: PeersHarness = {
    peers: Context.get(yield* Layer.build(network.layer(A)), Peers),
    to: B,
    nobody: "http://c:1",
    serve: (answers) =>
      Effect.asVoid(Layer.build(Layer.provide(network.serving(B), Layer.succeed(PeerService, answers)))),
    crash: Effect.sync(() => network.crash(B)),
    freeze: Effect.sync(() => network.freeze(B)),
    thaw: Effect.sync(() => network.thaw(B)),
    reset: Effect.sync(() => network.reset(A, B)),
    deadline: 1_000
  }
  return harness
})

// The first call of a process compiles both ends of it: on a loaded machine that alone takes longer than a deadline.
beforeAll(() =>
  Effect.gen(function* () {
    const { door, listener } = yield* listen()
    yield* door.serve(desk())
    const peers = yield* speak(PATIENT)
    yield* peers.hello(listener.address, ME)
    yield* peers.probeLease(listener.address, ME)
  }).pipe(Effect.scoped, Effect.runPromise)
)

peersConformance("RPC over WebSockets", real)
peersConformance("the network of tests", inMemory)

const silentServer = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer(() => {})
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    return server
  }),
  (server) => Effect.sync(() => server.close())
)

const live = (title: string, body: () => Effect.Effect<void, unknown, Scope.Scope>) =>
  it.scopedLive(title, body, 30_000)

describe("RPC over WebSockets between peers", () => {
  live("a listener that has closed refuses, and one that accepts and never answers is silent", () =>
    Effect.gen(function* () {
      const peers = yield* speak()
      const scope = yield* Scope.make()
      const { door, listener } = yield* Scope.extend(listen(), scope)
      yield* Scope.extend(door.serve(desk()), scope)
      expect(yield* peers.hello(listener.address, ME)).toEqual(GREETING)
      yield* Scope.close(scope, Exit.void)
      expect(yield* Effect.flip(peers.hello(listener.address, ME))).toMatchObject({ _tag: "PeerRefused" })

      const mute = yield* silentServer
      const address = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`
      const failure = yield* Effect.flip(peers.hello(address, ME))
      expect(failure).toMatchObject({ _tag: "PeerSilent", sent: false })
    })
  )

  live("calls are answered again after the server of them has ended by a defect, and that is said", () =>
    Effect.gen(function* () {
      const defect = yield* Deferred.make<never>()
      const essentials = Context.get(yield* Layer.build(Layer.provide(Essentials.layer, Metrics.layer)), Essentials)
      const { essential } = essentials
      const falling = Layer.succeed(Essentials, {
        ...essentials,
        essential: (name, work) => {
          let runs = 0
          return essential(
            name,
            Effect.suspend(() => (runs++ === 0 ? Effect.raceFirst(work, Deferred.await(defect)) : work))
          )
        }
      })
      const { door, listener } = yield* listenUnder(falling, [])
      yield* door.serve(desk())
      const peers = yield* speak(PATIENT)
      expect(yield* peers.hello(listener.address, ME)).toEqual(GREETING)
      yield* Deferred.die(defect, new TypeError("x"))
      while (essentials.troubles().length === 0) yield* Effect.sleep(10)
      expect(essentials.troubles()).toMatchObject([{ name: "calls of peers" }])
      // by the socket that was there, and by another
      for (const one of [peers, yield* speak(PATIENT)]) {
        expect(yield* one.hello(listener.address, ME)).toEqual(GREETING)
      }
    })
  )

  live("a name is refused only when all of its addresses refuse", () =>
    Effect.gen(function* () {
      const peers = yield* speak()
      const { door, listener, self } = yield* listen()
      yield* door.serve(desk())
      self.address = `http://localhost:${listener.port}`
      expect(yield* peers.hello(self.address, ME)).toEqual(GREETING)
      const nobody = yield* Effect.flip(peers.hello(`http://localhost:${yield* freePort}`, ME))
      expect(nobody._tag).toBe("PeerRefused")
      const unknown = yield* Effect.flip(peers.hello("http://no-such-host.invalid:1", ME))
      expect(unknown).toMatchObject({ _tag: "PeerSilent", sent: false })
    })
  )

  live("a link ends at once when the sockets of the peer's process are destroyed", () =>
    Effect.gen(function* () {
      const peers = yield* speak()
      const { door, listener } = yield* listen()
      yield* door.serve(desk())
      const sockets = new Set<Socket>()
      listener.server.on("connection", (socket) => sockets.add(socket))
      const up = yield* Deferred.make<void>()
      const link = yield* Effect.fork(peers.link(listener.address, ME, () => Deferred.unsafeDone(up, Exit.void)))
      yield* Deferred.await(up)
      for (const socket of sockets) socket.resetAndDestroy()
      const { ms } = yield* timed(Fiber.join(link))
      expect(ms).toBeLessThan(700)
    })
  )

  live("with one secret at both ends calls pass; another one, or none, is silence that names the setting", () =>
    Effect.gen(function* () {
      const { door, listener } = yield* listen("right")
      yield* door.serve(desk())
      const right = yield* speakBy(["right"])
      expect(yield* right.hello(listener.address, ME)).toEqual(GREETING)
      for (const secrets of [["wrong"], []]) {
        const wrong = yield* speakBy(secrets)
        const failure = yield* Effect.flip(wrong.hello(listener.address, ME))
        expect(failure).toMatchObject({ _tag: "PeerSilent", sent: false })
        expect(failure._tag === "PeerSilent" && failure.reason).toContain("WSM_PEER_SECRET")
        expect((yield* Effect.flip(wrong.link(listener.address, ME, () => {})))._tag).toBe("PeerSilent")
      }
    })
  )

  live("while the secret is changed two are accepted, whoever of both has changed first", () =>
    Effect.gen(function* () {
      for (const [here, there, pass] of [
        [["new", "old"], ["old"], true],
        [["old"], ["new", "old"], true],
        [["new", "old"], ["new", "old"], true],
        [["new"], ["new", "old"], true],
        [["new", "old"], ["new"], true],
        [["new"], ["old"], false]
      ] as const) {
        const { door, listener } = yield* listen(...there)
        yield* door.serve(desk())
        const greeting = yield* Effect.either((yield* speakBy(here)).hello(listener.address, ME))
        expect([here, there, greeting._tag]).toEqual([here, there, pass ? "Right" : "Left"])
      }
    })
  )

  live("a life that is no more is not the one that asks: another incarnation proves itself anew", () =>
    Effect.gen(function* () {
      const { door, listener } = yield* listen()
      const heard: Array<string> = []
      yield* door.serve(desk({ hello: ({ incarnation }) => Effect.sync(() => (heard.push(incarnation), GREETING)) }))
      const peers = yield* speak(PATIENT)
      const again = { ...ME, incarnation: ME.incarnation.replace(/.$/, "f") }
      for (const me of [ME, again, again, ME]) expect(yield* peers.hello(listener.address, me)).toEqual(GREETING)
      expect(heard).toEqual([ME, again, again, ME].map(({ incarnation }) => incarnation))
    })
  )

  live("addresses that no peer has are not dialled, nor clear text between hosts", () =>
    Effect.gen(function* () {
      const peers = yield* speak()
      const strict = yield* speakBy([SECRET], { backing: "dapr" })
      const why = (by: typeof peers, to: string) =>
        Effect.map(Effect.flip(by.hello(to, ME)), (failure) => (failure._tag === "PeerSilent" ? failure.reason : ""))
      for (const to of [
        "http://169.254.169.254:80",
        "https://[fd00:ec2::254]:443",
        "http://[::ffff:169.254.169.254]:80",
        "http://[64:ff9b::a9fe:a9fe]:80",
        "http://224.0.0.1:5001",
        "http://[ff02::1]:5001",
        "http://2852039166:80"
      ]) {
        expect(yield* why(peers, to)).toMatch(/is a (linkLocal|multicast|cloud's metadata) address/)
      }
      for (const to of ["file:///etc/passwd", "ws://127.0.0.1:1", "http://me:pass@127.0.0.1:1", "nonsense"]) {
        expect(yield* why(peers, to)).toBe("its address is no http or https URL")
      }
      expect(yield* why(strict, "http://192.0.2.1:1")).toContain("WSM_INSECURE")
      expect((yield* Effect.flip(strict.hello(`http://127.0.0.1:${yield* freePort}`, ME)))._tag).toBe("PeerRefused")
    })
  )

  live("an https address is dialled over TLS, and a certificate that nobody vouches for says what to set", () =>
    Effect.gen(function* () {
      const peers = yield* speak()
      const server = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const https = createHttpsServer({ cert, key })
          https.listen(0, "127.0.0.1")
          await once(https, "listening")
          return https
        }),
        (https) => Effect.sync(() => https.close())
      )
      const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
      const failure = yield* Effect.flip(peers.hello(address, ME))
      expect(failure).toMatchObject({ _tag: "PeerSilent", sent: false })
      expect(failure._tag === "PeerSilent" && failure.reason).toContain("NODE_EXTRA_CA_CERTS")
    })
  )

  live("sockets are kept: many calls to one peer use two, and come through after a reset", () =>
    Effect.gen(function* () {
      const { door, listener, self } = yield* listen()
      const proxy = yield* StallingProxy.start(listener.port)
      const to = (self.address = `http://127.0.0.1:${proxy.port}`)
      yield* door.serve(desk({ call: () => Effect.succeed({ tags: {} }) }))
      // nothing here is about deadlines
      const peers = yield* speak(PATIENT)
      const round = Effect.all(
        Array.from({ length: 50 }, () =>
          Effect.zip(peers.hello(to, ME), peers.call(to, "GetTags", { id: "c1" }), { concurrent: true })
        ),
        { concurrency: "unbounded" }
      )
      yield* round
      yield* round
      expect(proxy.accepted).toBe(2)
      yield* proxy.cut
      yield* Effect.retry(round, { times: 3 })
      expect(proxy.accepted).toBeLessThanOrEqual(8)
    })
  )

  live("a Send of 16 MiB passes byte for byte, and hello is answered meanwhile", () =>
    Effect.gen(function* () {
      const { door, listener } = yield* listen()
      const message = new Uint8Array(16 * 1024 * 1024).map((_, i) => i % 251)
      yield* door.serve(
        desk({
          send: (request) =>
            Stream.make(
              { _tag: "Sent" as const },
              { _tag: "Replied" as const, response: { response: request.message, contentType: "x/y" } }
            )
        })
      )
      const peers = yield* speak(PATIENT)
      const send = yield* Effect.fork(
        Stream.runCollect(peers.send(listener.address, { id: "c1", message, timeoutMs: 10_000 }))
      )
      expect(yield* peers.hello(listener.address, ME)).toEqual({
        ...GREETING
      })
      const [, replied] = Chunk.toReadonlyArray(yield* Fiber.join(send))
      expect(replied?._tag === "Replied" && Buffer.compare(replied.response.response, message)).toBe(0)
    })
  )

  live("a peer that goes silent for longer than a lease is given up: a call without a deadline ends", () =>
    Effect.gen(function* () {
      const { door, listener, self } = yield* listen()
      const proxy = yield* StallingProxy.start(listener.port)
      const to = (self.address = `http://127.0.0.1:${proxy.port}`)
      const begun = yield* Deferred.make<void>()
      yield* door.serve(desk({ call: () => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never) }))
      const peers = yield* speak()
      const call = yield* Effect.fork(Effect.flip(peers.call(to, "Get", { id: "c1" })))
      yield* Deferred.await(begun)
      yield* proxy.stall
      const { ms, value } = yield* timed(Fiber.join(call))
      expect(value).toMatchObject({ _tag: "PeerSilent", sent: true })
      expect(ms).toBeGreaterThan(3_000)
    })
  )

  live("what is asked of the door and is no operation is refused by its name", () =>
    Effect.gen(function* () {
      const { door, listener } = yield* listen()
      yield* door.serve(desk())
      const peers = yield* speak()
      const failure = yield* Effect.flip(peers.call(listener.address, "Get", { id: 7 }))
      expect(failure).toMatchObject({ _tag: "InvalidRequest", field: "id" })
    })
  )
})

describe("the network of tests under the test clock", () => {
  it.scoped("messages take their time, and what is cut ends by its deadline or passes when it heals", () =>
    Effect.gen(function* () {
      const network = new PeerNetwork({ deadlineMs: 1_000 })
      network.delay = () => 100
      const peers = Context.get(yield* Layer.build(network.layer(A)), Peers)
      network.listen(B)
      yield* Layer.build(Layer.provide(network.serving(B), Layer.succeed(PeerService, desk())))

      const first = yield* Effect.fork(peers.hello(B, ME))
      yield* TestClock.adjust(399)
      expect(first.unsafePoll()).toBeNull()
      yield* TestClock.adjust(1)
      expect(yield* Fiber.join(first)).toEqual(GREETING)

      network.cut(B, A)
      const lost = yield* Effect.fork(Effect.flip(peers.hello(B, ME)))
      yield* TestClock.adjust(1_000)
      expect(yield* Fiber.join(lost)).toMatchObject({ _tag: "PeerSilent", sent: true })

      const late = yield* Effect.fork(peers.hello(B, ME))
      yield* TestClock.adjust(500)
      network.heal(A, B)
      yield* TestClock.adjust(200)
      expect(yield* Fiber.join(late)).toEqual(GREETING)
      expect(network.inFlight).toBe(0)
    })
  )

  it.scoped("a crash behind a cut is not heard of until the cut is healed", () =>
    Effect.gen(function* () {
      const network = new PeerNetwork()
      const peers = Context.get(yield* Layer.build(network.layer(A)), Peers)
      network.listen(B)
      yield* Layer.build(Layer.provide(network.serving(B), Layer.succeed(PeerService, desk())))
      const up = yield* Deferred.make<void>()
      const link = yield* Effect.fork(peers.link(B, ME, () => Deferred.unsafeDone(up, Exit.void)))
      yield* Deferred.await(up)
      network.cut(A, B)
      network.crash(B)
      yield* TestClock.adjust(60_000)
      expect(link.unsafePoll()).toBeNull()
      network.heal()
      yield* Fiber.join(link)
      expect((yield* Effect.flip(peers.hello(B, ME)))._tag).toBe("PeerRefused")
    })
  )
})
