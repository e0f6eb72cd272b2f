/** Pings and pongs of a peer: answered by the last one, never a reason to cut, and counted like any other frame. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { encodeFrame, ScriptedServer } from "../support/ScriptedServer.js"
import { eventually, open, sessionsLayer, specOf } from "./testSession.js"

const PING = 0x9
const PONG = 0xa

const pings = (n: number, text = (i: number) => `${i}`) =>
  Buffer.concat(Array.from({ length: n }, (_, i) => encodeFrame(PING, Buffer.from(text(i)))))

/** The texts of the pongs that the last peer got so far. */
const pongsOf = (server: ScriptedServer): Array<string> => {
  const got: Array<string> = []
  server.last.ws.on("pong", (data: Buffer) => {
    got.push(data.toString())
    server.changed()
  })
  return got
}

describe("a burst of pings", () => {
  it.scopedLive.each<[number, string]>([
    [1, "one"],
    [61, "more than ws answers"],
    [5000, "thousands"]
  ])("of %i in one read (%s) is answered by the last one, and cuts nothing", ([n]) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { frames } = yield* open(specOf(server.url))
      const pongs = pongsOf(server)
      server.last.raw(pings(n))
      yield* Effect.promise(() => server.until(() => pongs.at(-1) === `${n - 1}`, 15_000))
      // one that was on its way, and the last one, of each read
      expect(pongs.length).toBeLessThanOrEqual(Math.max(2, n / 10))
      server.last.send("still here")
      yield* eventually(() => frames.length === 1)
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("that waited while we did not read, empty ones and full ones, is answered by the last one", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { frames, session } = yield* open(specOf(server.url))
      const pongs = pongsOf(server)
      session.pause()
      server.last.raw(pings(100, (i) => (i % 2 === 0 ? "" : "x".repeat(125))))
      server.last.raw(encodeFrame(PING, Buffer.from("last")))
      server.last.send("behind them")
      session.resume()
      yield* Effect.promise(() => server.until(() => pongs.at(-1) === "last", 15_000))
      yield* eventually(() => frames.length === 1)
      expect([pongs.at(-1), frames]).toEqual(["last", ["behind them"]])
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("whose answer waits behind megabytes of ours costs one answer, and keeps the socket", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { frames, session } = yield* open(specOf(server.url))
      const pongs = pongsOf(server)
      server.last.stopReading()
      const send = yield* Effect.fork(session.send(Buffer.alloc(8 * 1024 * 1024), true))
      yield* eventually(() => server.last.socket.readableFlowing === false)
      server.last.raw(pings(500))
      server.last.send("behind them")
      yield* eventually(() => frames.length === 1)
      expect(pongs).toEqual([])
      server.last.resumeReading()
      yield* send.await
      yield* Effect.promise(() => server.until(() => pongs.at(-1) === "499", 15_000))
      expect(pongs.length).toBeLessThan(50)
    }).pipe(Effect.provide(sessionsLayer()))
  )
})

describe("floods of control frames", () => {
  const FLOODS = 8
  const BLOCK = Buffer.concat(Array.from({ length: 32 * 1024 }, () => encodeFrame(PONG, Buffer.alloc(0))))

  it.scopedLive("leave the event loop its turns", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      let inTurn = 0
      let most = 0
      let seen = 0
      let counting = true
      const turn = () => {
        most = Math.max(most, inTurn)
        inTurn = 0
        if (counting) setImmediate(turn)
      }
      turn()
      const keepAlive = { pingIntervalMs: Infinity, deadAfterMs: Infinity, idleAfterMs: Infinity, ping: undefined }
      yield* Effect.forEach(Array.from({ length: FLOODS }), () => open(specOf(server.url, { keepAlive })), {
        concurrency: FLOODS
      })
      const { ReadFairness } = yield* Effect.promise(() => import("../../src/socket/wire/ReadFairness.js"))
      const counted = ReadFairness.prototype.frame
      ReadFairness.prototype.frame = function (this: InstanceType<typeof ReadFairness>, ...args) {
        inTurn++
        seen++
        counted.apply(this, args)
      }
      yield* Effect.addFinalizer(() => Effect.sync(() => (ReadFairness.prototype.frame = counted)))
      for (const peer of server.peers) for (let i = 0; i < 16; i++) peer.raw(BLOCK)
      yield* eventually(() => seen === FLOODS * 16 * 32 * 1024, 20_000)
      counting = false
      // What a turn may bring, and a read that each may bring beyond.
      expect(most).toBeLessThan((FLOODS + 2) * 32 * 1024)
    }).pipe(Effect.provide(sessionsLayer()))
  )
})
