/** What is called sent is with the peer, whole; of a socket that ends in the middle of a message, that message is not. */
import type { Socket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Session } from "../../src/socket/wire/Session.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TEST_CERT } from "../support/testCertificate.js"
import * as TestSession from "./testSession.js"
import { eventually, specOf } from "./testSession.js"

const surroundings = TestSession.sessionsLayer({ client: { ca: TEST_CERT } })
const open = (...args: Parameters<typeof TestSession.open>) => Effect.provide(TestSession.open(...args), surroundings)

const LARGE = 15_900_000
const SMALL = 4096

/** Ways in which an open socket ends. */
const ENDS: Readonly<Record<string, (session: Session, server: ScriptedServer) => void>> = {
  "is cut as dead": (session) => session.terminate(),
  "is closed by us, and the peer does not answer": (session) => session.close(1000, ""),
  "is closed by the peer": (_session, server) => server.last.closeRaw(1001),
  "is ended by the peer": (_session, server) => server.last.socket.end(),
  "is reset by the peer": (_session, server) => (server.last.socket as Socket).resetAndDestroy(),
  "breaks the protocol": (_session, server) => server.last.raw(Uint8Array.of(0x83, 0x00))
}

/** Messages of `size` go out until the peer, which does not read, takes no more; then the socket ends. */
const sendUntilTheEnd = (
  end: (session: Session, server: ScriptedServer) => void,
  size: number,
  options: { readonly tls?: boolean; readonly compression?: boolean } = {}
) =>
  Effect.gen(function* () {
    const server = yield* ScriptedServer.scoped(options)
    const { session } = yield* open(specOf(server.url, { compression: options.compression === true }))
    server.last.stopReading()
    const sends: Array<Fiber.RuntimeFiber<void, unknown>> = []
    const open_ = () => sends.filter((fiber) => fiber.unsafePoll() === null).length
    const data = size === LARGE ? Buffer.alloc(size, "x") : undefined
    // Until the kernels are full: with small messages, until 300 of them wait.
    while (open_() < (data === undefined ? 300 : 1)) {
      const n = sends.length
      sends.push(yield* Effect.fork(session.send(data ?? numbered(n), true)))
      yield* Effect.yieldNow()
      if (n % 100 === 0) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    }
    end(session, server)
    const exits = yield* Effect.forEach(sends, Fiber.await)
    yield* session.ended
    server.last.resumeReading()
    yield* Effect.promise(() => server.until(() => server.connections() === 0, 10_000))
    return { sent: exits.filter(Exit.isSuccess).length, exits, arrived: server.last.frames.length, session }
  })

/** Not to be deflated. */
const numbered = (n: number): Buffer => {
  const data = Buffer.alloc(SMALL)
  for (let i = 0; i < SMALL; i += 4) data.writeUInt32LE((Math.imul(n * SMALL + i, 2654435761) ^ (n << 7)) >>> 0, i)
  return data
}

describe.concurrent("a socket that ends while it sends", () => {
  describe.each(Object.keys(ENDS))("and %s", (name) => {
    it.scopedLive(
      "has not sent a message of which the peer has a part",
      () =>
        Effect.gen(function* () {
          const { arrived, exits } = yield* sendUntilTheEnd(ENDS[name]!, LARGE)
          expect(exits.map(Exit.isFailure)).toEqual([true])
          expect(arrived).toBe(0)
        }),
      30_000
    )

    it.scopedLive(
      "has sent as many small messages as the peer has whole",
      () =>
        Effect.gen(function* () {
          const { arrived, exits, sent } = yield* sendUntilTheEnd(ENDS[name]!, SMALL)
          expect(sent).toBeGreaterThan(100)
          // in the order in which they were given
          expect(exits.findIndex(Exit.isFailure)).toBe(sent)
          // Of a socket that was reset, the kernels throw away what the peer had not read.
          if (name !== "is reset by the peer") expect(arrived).toBe(sent)
        }),
      30_000
    )
  })

  it.scopedLive(
    "has sent over TLS what the peer can read, small messages that leave together too",
    () =>
      Effect.gen(function* () {
        for (const name of ["is cut as dead", "is closed by us, and the peer does not answer"]) {
          const { arrived, sent } = yield* sendUntilTheEnd(ENDS[name]!, SMALL, { tls: true })
          expect(sent).toBeGreaterThan(100)
          expect(arrived).toBe(sent)
        }
        expect((yield* sendUntilTheEnd(ENDS["is cut as dead"]!, LARGE, { tls: true })).sent).toBe(0)
      }),
    60_000
  )

  it.scopedLive(
    "has sent, deflated, as many messages as the peer has",
    () =>
      Effect.gen(function* () {
        const { arrived, sent } = yield* sendUntilTheEnd(ENDS["is cut as dead"]!, SMALL, { compression: true })
        expect(arrived).toBe(sent)
      }),
    60_000
  )

  it.scopedLive.each([false, true])("has sent what the kernel took in the turn of the cut (TLS: %s)", (tls) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped({ tls })
      const { session } = yield* open(specOf(server.url))
      const sending = yield* Effect.fork(session.send(Buffer.from("last words"), false))
      yield* Effect.yieldNow()
      session.terminate()
      const exit = yield* Fiber.await(sending)
      yield* Effect.promise(() => server.until(() => server.connections() === 0))
      expect(Exit.isSuccess(exit)).toBe(server.last.texts.length === 1)
      expect(Exit.isSuccess(exit)).toBe(true)
    })
  )

  it.scopedLive("fails what is handed to it afterwards", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { session } = yield* open(specOf(server.url))
      session.terminate()
      const late = yield* Effect.flip(session.send(Buffer.from("x"), false))
      expect(late._tag).toBe("ConnectionNotOpen")
      yield* eventually(() => server.connections() === 0)
    })
  )
})
