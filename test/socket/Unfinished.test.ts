/** Messages that are not yet whole: bounded for the instance, and at the cost of those who keep most. */
import { constants, deflateRawSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { FeedSocket } from "../../src/socket/wire/FeedSocket.js"
import { Sessions } from "../../src/socket/wire/Session.js"
import { encodeFrame, ScriptedServer } from "../support/ScriptedServer.js"
import { eventually, open, sessionsLayer, specOf } from "./testSession.js"

const MIB = 1024 * 1024
/** half of it for messages that are not yet whole */
const LIMIT = 4 * MIB
const PEERS = 4
const keepAlive = { pingIntervalMs: Infinity, deadAfterMs: Infinity, idleAfterMs: Infinity, ping: undefined }

/** and what may be on its way into a socket that is held up */
const READ = 256 * 1024

const surroundings = sessionsLayer({ settings: { bufferMaxBytes: LIMIT } })

/** The header of a message of so many bytes, and all of them but the last. */
const withoutEnd = (bytes: number) => encodeFrame(0x2, Buffer.alloc(bytes)).subarray(0, -1)
/** A first fragment that is small until it is inflated. */
const inflating = (bytes: number) => {
  const data = deflateRawSync(Buffer.alloc(bytes), { finishFlush: constants.Z_SYNC_FLUSH })
  const frame = encodeFrame(0x2, data, false)
  frame[0]! |= 0x40
  return frame
}
const megabytes = Buffer.concat([
  encodeFrame(0x2, Buffer.alloc(MIB), false),
  encodeFrame(0x0, Buffer.alloc(MIB), false)
])
/** Many fragments of nothing much. */
const crumbs = (n: number) =>
  Buffer.concat([encodeFrame(0x2, Buffer.from("x"), false), Buffer.concat(Array.from({ length: n }, () => encodeFrame(0x0, Buffer.from("x"), false)))]) // prettier-ignore

const opened = (server: ScriptedServer, compression = false) =>
  Effect.gen(function* () {
    const ends: Array<number> = []
    for (let i = 0; i < PEERS; i++) {
      const { session } = yield* open(specOf(server.url, { keepAlive, compression }))
      yield* Effect.fork(Effect.map(session.ended, (end) => ends.push(end.closeCode)))
    }
    return ends
  })

const bounded = (compression: boolean, beyond: number, sent: () => Buffer) =>
  Effect.gen(function* () {
    const server = yield* ScriptedServer.scoped({ compression })
    const { unfinished } = yield* Sessions
    const ends = yield* opened(server, compression)
    let most = 0
    const looking = setInterval(() => (most = Math.max(most, unfinished.bytes())), 1)
    yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(looking)))
    for (const peer of server.peers) peer.raw(sent())
    yield* eventually(() => ends.length > 0, 30_000)
    expect(new Set(ends)).toEqual(new Set([1013]))
    // the one that keeps most may go on to its end, and who is held up has had one more read
    expect(most).toBeLessThan(LIMIT / 2 + 2 * MIB + PEERS * beyond)
  }).pipe(Effect.provide(surroundings))

describe.concurrent("messages without an end", () => {
  it.scopedLive.each<[string, number, () => Buffer]>([
    ["large frames", READ, () => withoutEnd(2 * MIB)],
    ["fragments of a megabyte", READ, () => megabytes],
    ["crumbs, which cost more than their bytes, and many come in one read", 2 * MIB, () => crumbs(16_000)]
  ])(
    "are bounded for the instance, at the cost of those who keep most: %s",
    ([, beyond, sent]) => bounded(false, beyond, sent),
    60_000
  )

  it.scopedLive(
    "do not keep their neighbour from its own: small frames come at once, a large one once those who keep most are gone",
    () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const ends = yield* opened(server)
        const neighbour = yield* open(specOf(server.url, { keepAlive }))
        for (const peer of server.peers.slice(0, PEERS)) peer.raw(withoutEnd(2 * MIB))
        for (let i = 0; i < 20; i++) {
          server.last.send(Buffer.alloc(1000))
          yield* eventually(() => neighbour.frames.length === i + 1)
        }
        server.last.send(Buffer.alloc(MIB))
        yield* eventually(() => neighbour.frames.length === 21, 50_000)
        expect(ends.length).toBeLessThanOrEqual(PEERS)
      }).pipe(Effect.provide(surroundings)),
    60_000
  )

  it.scopedLive("keep nothing once they are whole, or their socket is gone", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { unfinished } = yield* Sessions
      const { frames } = yield* open(specOf(server.url, { keepAlive }))
      const frame = encodeFrame(0x2, Buffer.alloc(MIB))
      server.last.raw(frame.subarray(0, -100))
      yield* eventually(() => unfinished.bytes() >= MIB - 100)
      server.last.raw(frame.subarray(-100))
      yield* eventually(() => frames.length === 1 && unfinished.bytes() === 0)
      server.last.raw(frame.subarray(0, -100))
      yield* eventually(() => unfinished.bytes() > 0)
      server.last.cut()
      yield* eventually(() => unfinished.bytes() === 0)
      expect(unfinished.bytes()).toBe(0)
    }).pipe(Effect.provide(surroundings))
  )

  it.scopedLive("of peers that do send their end all get through, however little room there is", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const all = yield* Effect.forEach(Array.from({ length: PEERS }), () => open(specOf(server.url, { keepAlive })))
      for (const peer of server.peers) peer.raw(encodeFrame(0x2, Buffer.alloc(2 * MIB)))
      yield* eventually(() => all.every(({ frames }) => frames.length === 1), 18_000)
      expect(all.map(({ frames }) => frames.length)).toEqual(all.map(() => 1))
    }).pipe(Effect.provide(surroundings))
  )

  it.scopedLive(
    "are bounded for the instance, at the cost of those who keep most: fragments that are inflated, which is seen a little later",
    () => bounded(true, 2 * MIB, () => inflating(2 * MIB)),
    60_000
  )
})

it.scopedLive("a fragment that is being inflated counts as one, so that it is looked at again", () =>
  Effect.gen(function* () {
    const server = yield* ScriptedServer.scoped({ compression: true })
    const socket = new FeedSocket(new URL(server.url), [], 64 * MIB, { perMessageDeflate: true })
    yield* Effect.addFinalizer(() => Effect.sync(() => socket.terminate()))
    yield* eventually(() => socket.readyState === socket.OPEN)
    const seen: Array<number> = []
    const look = () => {
      seen.push(socket.unfinishedBytes())
      if (seen.at(-1)! < 16 * MIB) setImmediate(look)
    }
    look()
    server.last.raw(inflating(16 * MIB))
    yield* eventually(() => seen.at(-1)! >= 16 * MIB)
    const from = seen.findIndex((bytes) => bytes > 0)
    expect(seen[from]).toBeLessThan(MIB)
    expect(seen.slice(from)).not.toContain(0)
  })
)
