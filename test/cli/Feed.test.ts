import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { WebSocket } from "ws"
import { feed, type FeedOptions, tick } from "../../src/cli/Feed.js"

const start = (options: Partial<FeedOptions> = {}) =>
  feed({ host: "127.0.0.1", port: 0, rate: 200, size: 0, dropEvery: undefined, say: () => {}, ...options })

const dial = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new WebSocket(url, ["a", "b"])),
    (socket) => Effect.sync(() => socket.terminate())
  )

/** The first `count` frames that `wanted` takes. */
const frames = (socket: WebSocket, count: number, wanted: (text: string) => boolean = () => true) =>
  Effect.async<ReadonlyArray<string>, Error>((resume) => {
    const found: Array<string> = []
    socket.on("message", (data: Buffer) => {
      if (wanted(data.toString())) found.push(data.toString())
      if (found.length === count) resume(Effect.succeed(found))
    })
    socket.on("error", (error) => resume(Effect.fail(error)))
    socket.on("close", () => resume(Effect.fail(new Error("closed"))))
  })

const closed = (socket: WebSocket) =>
  Effect.async<number>((resume) => {
    socket.on("close", (code) => resume(Effect.succeed(code)))
  })

const sequences = (ticks: ReadonlyArray<string>) => ticks.map((text) => JSON.parse(text).seq as number)

describe("the sample feed", () => {
  it.scopedLive("sends numbered ticks with time and price, without holes", () =>
    Effect.gen(function* () {
      const ticks = yield* frames(yield* dial(yield* start()), 20)
      const [first, ...rest] = sequences(ticks)
      assert.deepStrictEqual(
        rest,
        rest.map((_, i) => first! + i + 1)
      )
      const { price, time } = JSON.parse(ticks[0]!)
      assert.isNumber(price)
      assert.strictEqual(new Date(time).toISOString(), time)
    })
  )

  it.scopedLive("keeps the rate it was asked for", () =>
    Effect.gen(function* () {
      const socket = yield* dial(yield* start({ rate: 500 }))
      yield* frames(socket, 1)
      const began = performance.now()
      yield* frames(socket, 250)
      const took = performance.now() - began
      assert.isAbove(took, 300)
      assert.isBelow(took, 3000)
    })
  )

  it.scopedLive("echoes what it receives, text as text and bytes as bytes", () =>
    Effect.gen(function* () {
      const socket = yield* dial(yield* start({ rate: 0.001 }))
      yield* Effect.async<void>((resume) => void socket.on("open", () => resume(Effect.void)))
      const echoed = Effect.async<readonly [string, boolean]>((resume) => {
        socket.once("message", (data: Buffer, binary: boolean) =>
          resume(Effect.succeed([data.toString("hex"), binary]))
        )
      })
      socket.send('{"id":1}')
      assert.deepStrictEqual(yield* echoed, [Buffer.from('{"id":1}').toString("hex"), false])
      socket.send(new Uint8Array([0, 255]))
      assert.deepStrictEqual(yield* echoed, ["00ff", true])
    })
  )

  it.scopedLive("--drop-every cuts its sockets, and whoever dials again sees in the numbers what it missed", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const url = yield* start({ dropEvery: 200, say: (line) => said.push(line) })
      const first = yield* dial(url)
      const other = yield* dial(url)
      const [[last]] = yield* Effect.all([frames(first, 5), closed(other)], { concurrency: "unbounded" })
      assert.include(said, "cutting 2 sockets")
      const [next] = sequences(yield* frames(yield* dial(url), 1))
      assert.isAbove(next!, JSON.parse(last!).seq)
    })
  )

  it.scopedLive("a port that is taken is one line that says what to do", () =>
    Effect.gen(function* () {
      const port = Number(new URL(yield* start()).port)
      const { line } = yield* Effect.flip(start({ port }))
      assert.match(line, /^the feed cannot listen: .*EADDRINUSE.*; name another --port$/)
    })
  )

  it("pads a tick to the size it was asked for, and never below what it needs", () => {
    for (const size of [0, 60, 75, 80, 200, 5000]) {
      const text = tick(12, 1_700_000_000_000, size)
      assert.strictEqual(JSON.parse(text).seq, 12)
      if (size >= 80) assert.strictEqual(text.length, size)
    }
  })
})
