/** A name with several addresses, some of which are deaf, slow, without a route, or refuse: real sockets on loopback. */
import type { LookupAddress } from "node:dns"
import * as Net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { DeafServer, type DeafOptions } from "../support/DeafServer.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TEST_CERT } from "../support/testCertificate.js"
import { eventually, open, reconnectWith, sessionsLayer, specOf, type Surroundings } from "./testSession.js"

const deaf = (options: DeafOptions) =>
  Effect.acquireRelease(
    Effect.promise(() => DeafServer.start(options)),
    (server) => Effect.promise(() => server.stop())
  )

/** Somebody at this address who does with a socket as told. */
const listener = (host: string, port: number, onSocket: (socket: Net.Socket) => void) =>
  Effect.acquireRelease(
    Effect.async<Array<Net.Socket>>((resume) => {
      const sockets: Array<Net.Socket> = []
      const server = Net.createServer((socket) => {
        socket.on("error", () => {}).resume()
        sockets.push(socket)
        onSocket(socket)
      })
      server.listen(port, host, () => resume(Effect.succeed(sockets)))
      server.unref()
    }),
    (sockets) => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
  )

/** Whatever name is dialled has these addresses. */
const at = (...addresses: Array<string>): Surroundings => ({
  client: {
    ca: TEST_CERT,
    resolve: (_host, done) =>
      done(
        null,
        addresses.map((address): LookupAddress => ({ address, family: Net.isIP(address) }))
      )
  }
})

const DEAF = "127.0.0.2"
const REFUSING = "127.0.0.3"
const NO_ROUTE = "100::1" // what is sent there is thrown away (RFC 6666)
const GOOD = "127.0.0.1"

const named = (server: ScriptedServer, dialTimeoutMs = 15_000, name = "many.test") =>
  specOf(server.url.replace("127.0.0.1", name), { reconnect: reconnectWith(dialTimeoutMs) })

describe.concurrent("DialRace", () => {
  it.scopedLive.each([
    [DEAF, GOOD],
    [NO_ROUTE, GOOD],
    [REFUSING, GOOD],
    [GOOD, DEAF, NO_ROUTE, REFUSING],
    [REFUSING, NO_ROUTE, DEAF, GOOD],
    [DEAF, NO_ROUTE, DEAF, REFUSING, DEAF, GOOD, DEAF],
    [NO_ROUTE, DEAF, DEAF, DEAF, DEAF, DEAF, GOOD]
  ])("opens through the one of several addresses that answers: %s", (addresses) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      if (addresses.includes(DEAF)) yield* deaf({ host: DEAF, port: server.port })
      yield* open(named(server)).pipe(Effect.provide(sessionsLayer(at(...addresses))))
      expect(server.openings.length).toBe(1)
      expect(server.last.headers.host).toBe(`many.test:${server.port}`)
    })
  )

  it.scopedLive.each([
    ["alone", []],
    ["beside one without a route", [NO_ROUTE]],
    ["beside one that refuses", [REFUSING]],
    ["beside one that is deaf", ["127.0.0.4"]]
  ] as const)("an address that takes a second opens %s", ([, others]) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      if (others[0] === "127.0.0.4") yield* deaf({ host: "127.0.0.4", port: server.port })
      yield* deaf({ host: DEAF, port: server.port, deafMs: 700 })
      const began = performance.now()
      yield* open(named(server)).pipe(Effect.provide(sessionsLayer(at(DEAF, ...others))))
      expect(performance.now() - began).toBeGreaterThan(300)
      expect(server.openings.length).toBe(1)
    })
  )

  it.scopedLive("of two that are there, one socket opens and the other one is cut, unused", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      yield* deaf({ host: DEAF, port: server.port, deafMs: 600 })
      yield* deaf({ host: "127.0.0.4", port: server.port, deafMs: 600 })
      yield* open(named(server)).pipe(Effect.provide(sessionsLayer(at(DEAF, "127.0.0.4"))))
      yield* Effect.sleep("1200 millis") // the loser would be through by now
      expect(server.openings.length).toBe(1)
    })
  )

  it.scopedLive("a peer that accepts and does not speak TLS does not keep a dial from one that does", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped({ tls: true })
      const sockets = yield* listener(DEAF, server.port, () => {})
      yield* open(named(server, 15_000, "localhost")).pipe(Effect.provide(sessionsLayer(at(DEAF, GOOD))))
      expect(server.openings.length).toBe(1)
      expect(sockets.length).toBe(1)
      yield* eventually(() => sockets[0]!.readableEnded || sockets[0]!.destroyed)
    })
  )

  it.scopedLive("the name is verified at every address, and a certificate that does not hold is what is told", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped({ tls: true })
      const dial = (name: string) =>
        Effect.flip(open(named(server, 15_000, name))).pipe(Effect.provide(sessionsLayer(at(REFUSING, GOOD))))
      expect(yield* dial("other.test")).toMatchObject({ kind: "tls" })
      expect(server.openings.length).toBe(0)
    })
  )

  it.scopedLive("where all refuse it is refused, where none answers it is the dial's time-out that ends it", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      yield* deaf({ host: DEAF, port: server.port })
      const failed = (timeout: number, ...addresses: Array<string>) =>
        Effect.scoped(Effect.flip(open(named(server, timeout)))).pipe(Effect.provide(sessionsLayer(at(...addresses))))
      expect(yield* failed(15_000, NO_ROUTE, REFUSING, "127.0.0.5")).toMatchObject({
        kind: "refused",
        reason: expect.stringContaining("ECONNREFUSED")
      })
      const began = performance.now()
      expect(yield* failed(900, DEAF, DEAF, REFUSING)).toMatchObject({ kind: "timeout" })
      expect(performance.now() - began).toBeGreaterThan(890)
      expect(server.rawSockets()).toBe(0)
    })
  )

  it.scopedLive("an interrupted race leaves no socket behind", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped({ tls: true })
      const silent = [yield* listener(DEAF, server.port, () => {}), yield* listener(REFUSING, server.port, () => {})]
      const fiber = yield* Effect.fork(
        Effect.scoped(open(named(server))).pipe(Effect.provide(sessionsLayer(at(DEAF, REFUSING))))
      )
      yield* eventually(() => silent.every((sockets) => sockets.length === 1), 10_000)
      yield* Fiber.interrupt(fiber)
      const standing = () => silent.flat().filter((socket) => !socket.readableEnded && !socket.destroyed).length
      yield* eventually(() => standing() === 0)
      expect(standing()).toBe(0)
    })
  )

  it.scopedLive("only judged addresses are dialled: one that is forbidden forbids the name before any attempt", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const settings = { egress: "public", egressAllow: [`127.0.0.0/8:${server.port}`] } as const
      const dial = (...addresses: Array<string>) =>
        Effect.scoped(Effect.either(open(named(server)))).pipe(
          Effect.provide(sessionsLayer({ ...at(...addresses), settings }))
        )
      expect(yield* dial(GOOD, NO_ROUTE)).toMatchObject({ _tag: "Left", left: { _tag: "TargetForbidden" } })
      expect(server.rawSockets()).toBe(0)
      expect(yield* dial(REFUSING, GOOD)).toMatchObject({ _tag: "Right" })
    })
  )
})
