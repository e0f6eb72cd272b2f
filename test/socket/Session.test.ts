/** An open socket against a real server: frames, login, clocks, back-pressure, and every way in which it ends. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { BufferFull, type ConnectionNotOpen } from "../../src/domain/Errors.js"
import type { ResolvedKeepAlive } from "../../src/domain/Spec.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import * as TestSession from "./testSession.js"
import { eventually, expectFrame, specOf, text } from "./testSession.js"

const surroundings = TestSession.sessionsLayer({ secrets: { PW: "pw", K: "k" } })
const open = (...args: Parameters<typeof TestSession.open>) => Effect.provide(TestSession.open(...args), surroundings)

const OFF: ResolvedKeepAlive = {
  pingIntervalMs: Infinity,
  deadAfterMs: Infinity,
  idleAfterMs: Infinity,
  ping: undefined
}
const keepAlive = (clocks: Partial<ResolvedKeepAlive>) => ({ keepAlive: { ...OFF, ...clocks } })
const until = (server: ScriptedServer, condition: () => boolean) => Effect.promise(() => server.until(condition))
const elapsed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const started = performance.now()
    return Effect.map(effect, (value) => [value, performance.now() - started] as const)
  })

describe("Session", () => {
  describe("frames", () => {
    it.scopedLive("text and binary frames come as they are, in order, those sent with the opening answer too", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        server.onOpen = (peer) => {
          peer.send("first")
          peer.send(Uint8Array.of(0, 255, 1))
          peer.send("ü€😀")
          peer.send("")
        }
        const got: Array<readonly [string, boolean]> = []
        yield* open(specOf(server.url), { onFrame: (data, binary) => got.push([data.toString("hex"), binary]) })
        yield* eventually(() => got.length === 4)
        const hex = (s: string) => Buffer.from(s).toString("hex")
        expect(got).toEqual([[hex("first"), false], ["00ff01", true], [hex("ü€😀"), false], ["", false]]) // prettier-ignore
      })
    )

    it.scopedLive("a fragmented message is one frame, a ping between its parts is answered", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { frames } = yield* open(specOf(server.url))
        server.last.sendFragmented(["fr", "", "ag", "ment€d"])
        yield* until(server, () => server.last.pongs === 1)
        yield* eventually(() => frames.length === 1)
        expect(frames).toEqual(["fragment€d"])
      })
    )

    it.scopedLive("a flood arrives complete and in order", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        let n = 0
        let wrong = 0
        yield* open(specOf(server.url), {
          onFrame: (data) => {
            if (Number(data.toString("latin1", 0, 8)) !== n++) wrong += 1
          }
        })
        yield* Effect.promise(() => server.last.flood({ count: 100_000, size: 100, numbered: true }))
        yield* eventually(() => n === 100_000)
        expect(wrong).toBe(0)
      })
    )

    it.scopedLive("a paused socket stops the peer, and nothing is lost when it goes on", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        let n = 0
        const { session } = yield* open(specOf(server.url), {
          onFrame: (data) => {
            if (Number(data.toString("latin1", 0, 8)) === n) n += 1
          }
        })
        session.pause()
        const flood = yield* Effect.fork(
          Effect.promise(() => server.last.flood({ count: 40_000, size: 1000, numbered: true }))
        )
        // The peer is stopped: its socket takes no more.
        yield* eventually(() => server.last.socket.writableNeedDrain)
        expect(n).toBeLessThan(70)
        session.resume()
        yield* Fiber.join(flood)
        yield* eventually(() => n === 40_000)
      })
    )
  })

  describe("sending", () => {
    it.scopedLive("text as text, binary as binary, in order", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { session } = yield* open(specOf(server.url))
        yield* Effect.forEach(
          Array.from({ length: 500 }, (_, i) => i),
          (i) => session.send(Buffer.from(`m${i}`), i % 2 === 1),
          { concurrency: "unbounded" }
        )
        yield* until(server, () => server.last.frames.length === 500)
        expect(server.last.texts).toEqual(Array.from({ length: 500 }, (_, i) => `m${i}`))
        expect(server.last.frames.every((f, i) => f.binary === (i % 2 === 1))).toBe(true)
      })
    )

    it.scopedLive("what is sent is not changed by masking it", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { session } = yield* open(specOf(server.url))
        const data = Buffer.from("keep me as I am".repeat(20))
        const copy = Buffer.from(data)
        yield* session.send(data, false)
        yield* session.send(data, false)
        yield* until(server, () => server.last.frames.length === 2)
        expect(data.equals(copy)).toBe(true)
        expect(server.last.texts).toEqual([copy.toString(), copy.toString()])
      })
    )

    it.scopedLive(
      "a peer that reads slowly fills the queue until BufferFull, and then gets everything that was taken",
      () =>
        Effect.gen(function* () {
          const server = yield* ScriptedServer.scoped()
          const { session } = yield* open(specOf(server.url))
          server.last.stopReading()
          const chunk = Buffer.alloc(256 * 1024, "x")
          const sends: Array<Fiber.RuntimeFiber<void, BufferFull | ConnectionNotOpen>> = []
          const isFull = (exit: Exit.Exit<unknown, { readonly _tag: string }> | null) =>
            exit !== null && Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof BufferFull
          do {
            sends.push(yield* Effect.fork(session.send(chunk, true)))
            yield* Effect.yieldNow()
          } while (!isFull(sends.at(-1)!.unsafePoll()) && sends.length < 200)
          expect(isFull(sends.at(-1)!.unsafePoll())).toBe(true)
          // 4 MiB wait, 1 MiB is with the socket, the rest with the kernels.
          expect(sends.length).toBeGreaterThan(20)
          expect(sends.length).toBeLessThan(150)
          server.last.resumeReading()
          const exits = yield* Effect.forEach(sends, Fiber.await)
          expect(exits.filter(Exit.isFailure).length).toBe(1)
          yield* until(server, () => server.last.frames.length === sends.length - 1)
        })
    )

    it.scopedLive("a message larger than the whole queue is taken", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { session } = yield* open(specOf(server.url))
        yield* session.send(Buffer.alloc(16 * 1024 * 1024, 1), true)
        yield* until(server, () => server.last.frames.length === 1)
        expect(server.last.frames[0]!.data.length).toBe(16 * 1024 * 1024)
      })
    )

    it.scopedLive("when the socket goes away, what waits fails with ConnectionNotOpen, and so does what comes", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { session } = yield* open(specOf(server.url))
        server.last.stopReading()
        const sends = yield* Effect.forEach(Array.from({ length: 8 }), () =>
          Effect.fork(Effect.flip(session.send(Buffer.alloc(1024 * 1024), true)))
        )
        yield* Effect.yieldNow()
        server.last.cut()
        yield* session.ended
        expect((yield* Fiber.join(sends.at(-1)!))._tag).toBe("ConnectionNotOpen")
        expect((yield* Effect.flip(session.send(Buffer.from("x"), false)))._tag).toBe("ConnectionNotOpen")
      })
    )
  })

  describe("the end", () => {
    it.scopedLive.each([1000, 1001, 1003, 1008, 1011, 1012, 1013, 3000, 3999, 4000, 4401, 4999])(
      "a close by the peer with %i is told with its code and reason",
      (code) =>
        Effect.gen(function* () {
          const server = yield* ScriptedServer.scoped()
          const { session } = yield* open(specOf(server.url))
          server.last.close(code, "because")
          expect(yield* session.ended).toEqual({ closeCode: code, reason: "because", cause: "closed" })
        })
    )

    it.scopedLive("a close frame without a code, and a cut, are 1006: there was no code on the wire", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const first = yield* open(specOf(server.url))
        server.last.close()
        expect(yield* first.session.ended).toMatchObject({ closeCode: 1006, cause: "closed" })
        const second = yield* open(specOf(server.url))
        server.last.cut()
        expect(yield* second.session.ended).toMatchObject({ closeCode: 1006, cause: "closed" })
      })
    )

    it.scopedLive("invalid UTF-8 is closed by us with 1007", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { frames, session } = yield* open(specOf(server.url))
        server.last.sendInvalidUtf8()
        expect(yield* session.ended).toMatchObject({ closeCode: 1007, cause: "protocol" })
        yield* until(server, () => server.last.closeCode === 1007)
        expect(frames).toEqual([])
      })
    )

    it.scopedLive("a message over max_message_bytes is closed by us with 1009, one of just that size is taken", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { frames, session } = yield* open(specOf(server.url, { maxMessageBytes: 1000 }))
        server.last.send("x".repeat(1000))
        server.last.send("y".repeat(1001))
        expect(yield* session.ended).toMatchObject({ closeCode: 1009, cause: "protocol" })
        yield* until(server, () => server.last.closeCode === 1009)
        expect(frames.map((f) => f.length)).toEqual([1000])
      })
    )

    it.scopedLive("a message that is small only while compressed is closed with 1009 too", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped({ compression: true })
        const { session } = yield* open(specOf(server.url, { maxMessageBytes: 100_000, compression: true }))
        server.last.send("z".repeat(5_000_000))
        expect(yield* session.ended).toMatchObject({ closeCode: 1009, cause: "protocol" })
      })
    )

    it.scopedLive("what breaks the protocol is closed by us with 1002", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const broken = [
          () => server.last.raw(Uint8Array.of(0x83, 0x00)), // an unknown opcode
          () => server.last.raw(Uint8Array.of(0xc1, 0x01, 0x61)), // a reserved bit
          () => server.last.raw(Uint8Array.of(0x81, 0x81, 1, 2, 3, 4, 0x60)), // masked, by a server
          () => server.last.raw(Uint8Array.of(0x80, 0x01, 0x61)), // a continuation of nothing
          () => server.last.closeRaw(1005),
          () => server.last.closeRaw(999)
        ]
        for (const act of broken) {
          const { session } = yield* open(specOf(server.url))
          act()
          expect(yield* session.ended).toMatchObject({ closeCode: 1002, cause: "protocol" })
        }
      })
    )

    it.scopedLive("our close is answered by the peer", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { session } = yield* open(specOf(server.url))
        session.close(4321, "bye")
        expect(yield* session.ended).toMatchObject({ closeCode: 4321, cause: "closed" })
        expect(server.last).toMatchObject({ closeCode: 4321, closeReason: "bye" })
      })
    )

    it.scopedLive("a peer that does not answer our close is cut after a second", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { session } = yield* open(specOf(server.url))
        server.last.stopReading()
        session.close(1001, "going away")
        const [end, ms] = yield* elapsed(session.ended)
        expect(end).toEqual({ closeCode: 1001, reason: "going away", cause: "closed" })
        expect(ms).toBeGreaterThan(900)
        expect(ms).toBeLessThan(5000)
      })
    )

    it.scopedLive("a paused socket closes as quickly as others, and hands on nothing more", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { frames, session } = yield* open(specOf(server.url))
        session.pause()
        yield* Effect.promise(() => server.last.flood({ count: 100, size: 100 }))
        session.close(1000, "")
        const [end, ms] = yield* elapsed(session.ended)
        expect(end.closeCode).toBe(1000)
        expect(ms).toBeLessThan(950)
        expect(frames).toEqual([])
      })
    )

    it.scopedLive("frames under way while we close are handed on", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { frames, session } = yield* open(specOf(server.url))
        yield* Effect.promise(() => server.last.flood({ count: 50, size: 20 }))
        session.close(1000, "")
        yield* session.ended
        expect(frames.length).toBe(50)
      })
    )

    it.scopedLive("terminate cuts at once, and hands on nothing more, of a paused socket either", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { frames, session } = yield* open(specOf(server.url))
        session.pause()
        yield* Effect.promise(() => server.last.flood({ count: 1000, size: 100 }))
        session.terminate()
        expect(yield* session.ended).toMatchObject({ closeCode: 1006, cause: "closed" })
        expect(frames).toEqual([])
        yield* until(server, () => server.connections() === 0)
      })
    )

    it.scopedLive("closing the scope cuts the socket", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const scope = yield* Scope.make()
        const { session } = yield* Scope.extend(open(specOf(server.url)), scope)
        expect(server.connections()).toBe(1)
        yield* Scope.close(scope, Exit.void)
        expect((yield* session.ended).closeCode).toBe(1006)
        yield* until(server, () => server.connections() === 0)
      })
    )

    it.scopedLive("a server that restarts on the same port is reached by the next dial", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const first = yield* open(specOf(server.url))
        yield* Effect.promise(() => server.stop())
        expect((yield* first.session.ended).closeCode).toBe(1006)
        expect(yield* Effect.flip(open(specOf(server.url)))).toMatchObject({ kind: "refused" })
        yield* Effect.promise(() => server.listen())
        const { frames } = yield* open(specOf(server.url))
        server.last.send("again")
        yield* eventually(() => frames[0] === "again")
      })
    )
  })

  describe("login", () => {
    it.scopedLive("runs before the session is there; what was expected goes nowhere else", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        server.onOpen = (peer) => {
          peer.send('{"type":"hello","nonce":"n&1"}')
          peer.send('{"type":"news"}')
        }
        server.onFrame = (peer, data) => {
          // The answer and the first frames behind it in one write.
          if (data.toString().startsWith("login")) {
            peer.send('{"type":"ready"}')
            for (let i = 0; i < 5; i++) peer.send(String(i))
          }
        }
        const { frames } = yield* open(
          specOf(server.url, {
            handshake: [
              expectFrame("$.type", "hello", { capture: [["nonce", "$.nonce"]] }),
              { kind: "binary", data: Uint8Array.of(1, 2) },
              text("login ${secret:PW} ${capture:nonce} ${connection:id}/${connection:epoch}@${instance:id}"),
              expectFrame("$.type", "ready"),
              text("subscribe")
            ]
          })
        )
        yield* until(server, () => server.last.frames.length === 3)
        expect(server.last.texts).toEqual(["\u0001\u0002", "login pw n&1 c1/7@i1", "subscribe"])
        expect(server.last.frames.map((f) => f.binary)).toEqual([true, false, false])
        yield* eventually(() => frames.length === 6)
        expect(frames).toEqual(['{"type":"news"}', "0", "1", "2", "3", "4"])
      })
    )

    it.scopedLive("an expectation that is not met in time is kind handshake and cuts the socket", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        server.onOpen = (peer) => peer.send("not this")
        const frames: Array<string> = []
        const spec = specOf(server.url, { handshake: [expectFrame("", "that", { timeoutMs: 60 })] })
        const failure = yield* Effect.flip(open(spec, { onFrame: (data) => frames.push(data.toString()) }))
        expect(failure).toMatchObject({ kind: "handshake", closeCode: undefined })
        expect(failure.reason).toContain("step 1")
        expect(frames).toEqual(["not this"])
        yield* until(server, () => server.connections() === 0)
      })
    )

    it.scopedLive("a peer that closes during the login is kind handshake with its close code", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        server.onFrame = (peer) => peer.close(4401, "bad token")
        const spec = specOf(server.url, { handshake: [text("login"), expectFrame()] })
        const failure = yield* Effect.flip(open(spec))
        expect(failure).toMatchObject({ kind: "handshake", closeCode: 4401 })
        expect(failure.reason).toContain("bad token")
        server.onFrame = (peer) => peer.cut()
        expect(yield* Effect.flip(open(spec))).toMatchObject({ kind: "handshake", closeCode: 1006 })
      })
    )

    it.scoped("dial and login together have 60 seconds, whatever the steps would wait", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        server.onOpen = (peer) => peer.send("hello")
        const frames: Array<Buffer> = []
        const spec = specOf(server.url, { handshake: [expectFrame("$.never", "", { timeoutMs: 2 ** 32 - 1 })] })
        const fiber = yield* Effect.fork(Effect.flip(open(spec, { onFrame: (data) => frames.push(data) })))
        yield* eventually(() => frames.length === 1)
        yield* TestClock.adjust("59 seconds")
        expect(server.connections()).toBe(1)
        yield* TestClock.adjust("1 second")
        expect(yield* Fiber.join(fiber)).toMatchObject({ kind: "handshake" })
        yield* until(server, () => server.connections() === 0)
      })
    )

    it.scopedLive("an interrupted login leaves no socket behind", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const fiber = yield* Effect.fork(open(specOf(server.url, { handshake: [text("x"), expectFrame()] })))
        yield* until(server, () => server.peers.length === 1 && server.last.frames.length === 1)
        yield* Fiber.interrupt(fiber)
        yield* until(server, () => server.connections() === 0)
        expect(server.connections()).toBe(0)
      })
    )
  })

  describe("clocks", () => {
    it.scopedLive("a half-open peer is dead after dead_after, cut without waiting for a close", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { session } = yield* open(specOf(server.url, keepAlive({ pingIntervalMs: 50, deadAfterMs: 300 })))
        yield* until(server, () => server.last.pings >= 3)
        server.last.stopReading()
        const [end, ms] = yield* elapsed(session.ended)
        expect(end).toMatchObject({ closeCode: 1006, cause: "dead" })
        expect(ms).toBeGreaterThan(200)
        expect(ms).toBeLessThan(5000)
      })
    )

    it.scopedLive("a peer that only answers pings stays open, without them it is dead", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const pinged = yield* open(specOf(server.url, keepAlive({ pingIntervalMs: 100, deadAfterMs: 700 })))
        const silent = yield* open(specOf(server.url, keepAlive({ deadAfterMs: 250 })))
        expect(yield* silent.session.ended).toMatchObject({ cause: "dead" })
        yield* until(server, () => server.peers[0]!.pings >= 9)
        expect(server.peers[0]!.open).toBe(true)
        pinged.session.terminate()
      })
    )

    it.scopedLive("a feed that stalls after the open is idle after idle_after, though pongs flow", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const clocks = keepAlive({ pingIntervalMs: 50, deadAfterMs: 400, idleAfterMs: 600 })
        const { session } = yield* open(specOf(server.url, clocks))
        const [end, ms] = yield* elapsed(session.ended)
        expect(end).toMatchObject({ closeCode: 1000, cause: "idle" })
        expect(ms).toBeGreaterThan(550)
        yield* until(server, () => server.last.closeCode === 1000)
      })
    )

    it.scopedLive("a socket that we paused is not called dead, and its clock starts anew", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { session } = yield* open(specOf(server.url, keepAlive({ pingIntervalMs: 100, deadAfterMs: 600 })))
        session.pause()
        yield* until(server, () => server.last.pings >= 12) // about 1.1 s, nearly twice dead_after
        session.resume()
        const before = server.last.pings
        yield* until(server, () => server.last.pings >= before + 8)
        expect(server.connections()).toBe(1)
      })
    )

    it.scopedLive("the application ping goes out filled in, text or binary, and not before the login", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const ping = { data: Buffer.from("ping ${connection:id} ${secret:K}"), binary: false, intervalMs: 30 }
        yield* open(specOf(server.url, { ...keepAlive({ ping }), handshake: [text("login")] }))
        yield* until(server, () => server.last.frames.length >= 4)
        expect(server.last.texts.slice(0, 3)).toEqual(["login", "ping c1 k", "ping c1 k"])
        yield* open(specOf(server.url, keepAlive({ ping: { ...ping, binary: true } })))
        yield* until(server, () => server.last.frames.length >= 1)
        expect(server.last.frames[0]!.binary).toBe(true)
        expect(server.last.texts[0]).toBe("ping ${connection:id} ${secret:K}")
      })
    )

    it.scopedLive("no ping and no message goes out while it may not act", () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        let may = true
        const { session } = yield* open(specOf(server.url, keepAlive({ pingIntervalMs: 30 })), { mayAct: () => may })
        yield* until(server, () => server.last.pings >= 2)
        may = false
        expect((yield* Effect.flip(session.send(Buffer.from("x"), false)))._tag).toBe("ConnectionNotOpen")
        const before = server.last.pings
        // Longer than five intervals, measured by a second socket that may ping.
        yield* open(specOf(server.url, keepAlive({ pingIntervalMs: 30 })))
        yield* until(server, () => server.last.pings >= 5)
        expect(server.peers[0]!.pings).toBeLessThanOrEqual(before + 1)
        expect(server.peers[0]!.frames).toEqual([])
      })
    )
  })
})
