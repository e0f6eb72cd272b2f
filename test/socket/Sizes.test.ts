/** What a peer may send in one message, said by the name of the limit; and bytes that come are life, whole message or not. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { encodeFrame, ScriptedServer } from "../support/ScriptedServer.js"
import { TEST_CERT } from "../support/testCertificate.js"
import { eventually, open, sessionsLayer, specOf } from "./testSession.js"

/** A message in so many pieces. */
const pieces = (n: number, size: number) => {
  const payload = Buffer.alloc(size, "x")
  const middle = encodeFrame(0x0, payload, false)
  return Buffer.concat([
    encodeFrame(0x1, payload, false),
    ...Array.from({ length: n - 2 }, () => middle),
    encodeFrame(0x0, payload, true)
  ])
}

describe("a message", () => {
  it.scopedLive("of 16,384 fragments is taken", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { frames } = yield* open(specOf(server.url))
      server.last.raw(pieces(16_384, 1))
      yield* eventually(() => frames.length === 1)
      expect(frames[0]!.length).toBe(16_384)
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive.each<[number, number, string]>([
    [16_385, 1, "fragments"],
    [32_768, 128, "fragments"],
    [1, 2000, "max_message_bytes, 1000"]
  ])("in %i pieces of %i bytes is closed with 1009, and the reason names the limit: %s", ([n, size, limit]) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { session } = yield* open(specOf(server.url, n === 1 ? { maxMessageBytes: 1000 } : {}))
      if (n === 1) server.last.send("x".repeat(size))
      else server.last.raw(pieces(n, size))
      const end = yield* session.ended
      expect(end).toMatchObject({ closeCode: 1009, cause: "protocol" })
      expect(end.reason).toContain(limit)
      yield* Effect.promise(() => server.until(() => server.last.closeCode === 1009))
      expect(server.last.closeReason).toBe(end.reason)
    }).pipe(Effect.provide(sessionsLayer()))
  )
})

describe.concurrent("a peer that sends something all the time", () => {
  const DEAD_AFTER = 400
  const keepAlive = { pingIntervalMs: Infinity, deadAfterMs: DEAD_AFTER, idleAfterMs: Infinity, ping: undefined }
  /** Sends these parts, one each quarter of the time after which it would be dead. */
  const slowly = (server: ScriptedServer, parts: ReadonlyArray<Buffer>) =>
    Effect.forEach(parts, (part) =>
      Effect.zipRight(
        Effect.sync(() => server.last.raw(part)),
        Effect.sleep(DEAD_AFTER / 4)
      )
    )

  const parts = (frame: Buffer, n: number) =>
    Array.from({ length: n }, (_, i) => frame.subarray((i * frame.length) / n, ((i + 1) * frame.length) / n))
  const fragments = Array.from({ length: 12 }, (_, i) => encodeFrame(i === 0 ? 0x1 : 0x0, Buffer.from("x"), i === 11))

  it.scopedLive.each<[string, ReadonlyArray<Buffer>, boolean]>([
    ["one large frame, slowly", parts(encodeFrame(0x2, Buffer.alloc(600_000)), 12), false],
    ["one large frame, slowly, over TLS", parts(encodeFrame(0x2, Buffer.alloc(600_000)), 12), true],
    ["the header of a frame, byte by byte", parts(encodeFrame(0x2, Buffer.alloc(70_000)).subarray(0, 14), 12), false],
    ["fragments", fragments, false]
  ])("is alive: %s", ([, sent, tls]) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped({ tls })
      const { session } = yield* open(specOf(server.url, { keepAlive }))
      const ended = yield* Effect.fork(session.ended)
      yield* slowly(server, sent)
      expect(ended.unsafePoll()).toBeNull()
      // and once it stops, in the middle of a message or behind it, it is dead
      expect((yield* session.ended).cause).toBe("dead")
    }).pipe(Effect.provide(sessionsLayer({ client: { ca: TEST_CERT } })))
  )

  it.scopedLive("is idle all the same while no message of it is whole", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const clocks = { ...keepAlive, deadAfterMs: Infinity, idleAfterMs: DEAD_AFTER }
      const { session } = yield* open(specOf(server.url, { keepAlive: clocks }))
      yield* Effect.fork(slowly(server, fragments))
      expect((yield* session.ended).cause).toBe("idle")
    }).pipe(Effect.provide(sessionsLayer()))
  )
})
