/** What one connection's handling throws ends that connection, whoever called it: the wire, a timer, a write that was done. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { describe as described } from "../../src/common/CallbackGuard.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { eventually, expectFrame, open, sessionsLayer, specOf, text } from "../socket/testSession.js"

const boom = (): never => {
  throw new RangeError("Invalid string length")
}
const FAULT = { closeCode: 1011, reason: "RangeError while the connection was handled", cause: "fault" }

describe("a throw in handling a connection", () => {
  it.scopedLive("ends it with 1011, and neither the frames behind nor a neighbour notice", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const neighbour = yield* open(specOf(server.url))
      const beside = server.last
      let seen = 0
      const { session } = yield* open(specOf(server.url), { onFrame: () => (seen++, boom()) })
      // both in one read: what is behind the frame that threw is not handled any more
      server.last.socket.cork()
      server.last.send("one")
      server.last.send("two")
      server.last.socket.uncork()
      const end = yield* session.ended
      expect(end).toMatchObject(FAULT)
      expect(end.defect?.trace).toContain("boom")
      expect(seen).toBe(1)
      yield* Effect.promise(() => server.until(() => server.last.closeCode === 1011))
      beside.send("still here")
      yield* eventually(() => neighbour.frames.length === 1)
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("at the login fails the dial with its fault", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      server.onOpen = (peer) => peer.send("no answer to anything")
      const failed = yield* Effect.flip(
        open(specOf(server.url, { handshake: [text("hello"), expectFrame("", "welcome")] }), { onFrame: boom })
      )
      expect(failed).toMatchObject({
        _tag: "DialFailure",
        kind: "handshake",
        closeCode: 1011,
        defect: { name: "RangeError" }
      })
      yield* Effect.promise(() => server.until(() => server.last.closeCode === 1011))
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("in a ping, a pong, a timer, the first message or a write that was done ends it too", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const ends: Array<unknown> = []
      const keepAlive = { pingIntervalMs: 100, deadAfterMs: Infinity, idleAfterMs: Infinity, ping: undefined }
      let calls = 0
      const timed = yield* open(specOf(server.url, { keepAlive }), { mayAct: boom })
      ends.push(yield* timed.session.ended)
      const written = yield* open(specOf(server.url), { mayAct: () => ++calls === 1 || boom() })
      server.last.stopReading()
      // the second one is asked for when the first one has left
      const sends = yield* Effect.forEach([1, 2], () =>
        Effect.fork(Effect.exit(written.session.send(Buffer.alloc(16 * 1024 * 1024), true)))
      )
      yield* eventually(() => calls >= 1)
      server.last.resumeReading()
      ends.push(yield* written.session.ended)
      expect((yield* Fiber.await(sends[0]!))._tag).toBe("Success")
      expect(ends).toMatchObject([FAULT, FAULT])
      const first = yield* Effect.flip(open(specOf(server.url, { handshake: [text("hello")] }), { mayAct: boom }))
      expect(first).toMatchObject({ kind: "handshake", closeCode: 1011, defect: { name: "RangeError" } })
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("is described without its message, which may quote what was received", () =>
    Effect.sync(() => {
      const parse = () => JSON.parse('{"token": secret}') as unknown
      try {
        parse()
      } catch (defect) {
        const { name, trace } = described(defect)
        expect(name).toBe("SyntaxError")
        expect(trace).toContain("parse")
        expect(`${name}${trace}`).not.toContain("secret")
      }
      expect(described("a text")).toEqual({ name: "a string that was thrown", trace: "" })
    })
  )
})
