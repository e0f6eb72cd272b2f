/** An open socket is told to have ended whichever way it ends, soon, and a 1006 says how. */
import { once } from "node:events"
import type { AddressInfo, Socket } from "node:net"
import { connect as tlsConnect, createServer as createTlsServer } from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Session } from "../../src/socket/wire/Session.js"
import { ofSocket, oneLine } from "../../src/socket/wire/SocketErrors.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TEST_CERT, TEST_KEY } from "../support/testCertificate.js"
import * as TestSession from "./testSession.js"
import { specOf } from "./testSession.js"

const surroundings = TestSession.sessionsLayer({ client: { ca: TEST_CERT } })
const open = (...args: Parameters<typeof TestSession.open>) => Effect.provide(TestSession.open(...args), surroundings)
const within = <A, E, R>(seconds: number, effect: Effect.Effect<A, E, R>) =>
  Effect.timeoutFail(effect, { duration: `${seconds} seconds`, onTimeout: () => new Error("not in time") })
const fill = (session: Session) =>
  Effect.forEach([12_000_000, 1_000_000, 5], (bytes) =>
    Effect.tap(Effect.fork(Effect.flip(session.send(Buffer.alloc(bytes, "x"), true))), () => Effect.yieldNow())
  )

describe.concurrent("an end by FIN", () => {
  it.scopedLive.each([false, true])("is told while the peer does not read what we send (TLS: %s)", (tls) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped({ tls })
      const { session } = yield* open(specOf(server.url))
      server.last.stopReading()
      const sends = yield* fill(session)
      server.last.socket.end()
      const end = yield* within(8, session.ended)
      expect(end).toEqual({
        closeCode: 1006,
        reason: "the peer ended the connection without a close frame",
        cause: "closed"
      })
      for (const send of sends) expect((yield* within(1, Fiber.join(send)))._tag).toBe("ConnectionNotOpen")
    })
  )

  it.scopedLive("still gives the peer what was under way, if it reads", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { session } = yield* open(specOf(server.url))
      server.last.stopReading()
      const sending = yield* Effect.fork(session.send(Buffer.alloc(12_000_000, "x"), true))
      yield* Effect.yieldNow()
      server.last.socket.end()
      server.last.resumeReading()
      yield* within(8, Fiber.join(sending))
      yield* Effect.promise(() => server.until(() => server.last.frames.length === 1))
      expect(server.last.frames[0]!.data.length).toBe(12_000_000)
    })
  )

  it.scopedLive("in the middle of a frame, or with our close under way, is told too", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      for (const before of [
        () => server.last.raw(Uint8Array.of(0x82, 0x7e, 0x10, 0x00, 1, 2)),
        (session: Session) => session.close(1000, "")
      ]) {
        const { session } = yield* open(specOf(server.url))
        server.last.stopReading()
        yield* fill(session)
        before(session)
        server.last.socket.end()
        const end = yield* within(8, session.ended)
        expect([1000, 1006]).toContain(end.closeCode)
      }
    })
  )
})

describe("a 1006 says how the socket ended:", () => {
  const reasonOf = (end: (server: ScriptedServer, session: Session) => void) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { session } = yield* open(specOf(server.url))
      end(server, session)
      const told = yield* within(8, session.ended)
      expect(told.closeCode).toBe(1006)
      return told.reason
    })

  it.scopedLive("a reset, an end without a close frame, a close without a code, our own cut", () =>
    Effect.gen(function* () {
      expect(yield* reasonOf(({ last }) => (last.socket as Socket).resetAndDestroy())).toBe(
        "the peer reset the connection (ECONNRESET)"
      )
      expect(yield* reasonOf(({ last }) => last.socket.end())).toBe(
        "the peer ended the connection without a close frame"
      )
      expect(yield* reasonOf(({ last }) => last.close())).toBe("the peer closed without a code")
      expect(yield* reasonOf((_, session) => session.terminate())).toBe("this instance cut the socket")
    })
  )

  it.scopedLive("a peer that is reset while we send to it", () =>
    Effect.gen(function* () {
      const reason = yield* reasonOf(({ last }, session) => {
        last.stopReading()
        Effect.runFork(session.send(Buffer.alloc(12_000_000), true))
        setImmediate(() => (last.socket as Socket).resetAndDestroy())
      })
      expect(reason).toMatch(/^the peer (reset the connection \(ECONNRESET\)|takes nothing more \(EPIPE\))$/)
    })
  )
})

describe("what TLS says is one line, without OpenSSL's internals", () => {
  it("of a real alert", async () => {
    // A server that asks for a client certificate, over TLS 1.3: the refusal is an alert on the open connection.
    const server = createTlsServer({ key: TEST_KEY, cert: TEST_CERT, requestCert: true, rejectUnauthorized: true })
    server.on("tlsClientError", () => {})
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const socket = tlsConnect({
      port: (server.address() as AddressInfo).port,
      host: "127.0.0.1",
      rejectUnauthorized: false
    })
    const error = await new Promise<Error>((resolve) => socket.on("error", resolve))
    server.close()
    expect(error.message).toContain("\n")
    expect(ofSocket(error)).toBe("TLS: tlsv13 alert certificate required")
    expect(oneLine(error)).toBe("TLS: tlsv13 alert certificate required")
  })

  it.scopedLive("of a peer that does not speak TLS, in the failure of a dial", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const failure = yield* Effect.flip(open(specOf(server.url.replace("ws:", "wss:"))))
      expect(failure).toMatchObject({ kind: "tls" })
      expect((failure as { reason: string }).reason).toMatch(/^TLS: [a-z0-9 ]+$/)
    })
  )
})

describe("the opening request", () => {
  it.scopedLive.each(["/", "/?", "/a?", "/a?b", "/a??", "/a?b=%3f", "?"])("asks for %s as it was given", (path) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      yield* open(specOf(server.url + path))
      expect(server.openings[0]!.url).toBe(path.startsWith("/") ? path : `/${path}`)
    })
  )
})
