/** What a client that somebody wrote by hand may send: each a clear answer, and nobody else is touched. */
import { describe, it } from "@effect/vitest"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { once } from "node:events"
import { expect } from "vitest"
import { type ClientOptions, WebSocket } from "ws"
import { ManagerRpcs } from "../../src/rpc/ManagerRpcs.js"
import { client, start } from "../support/FakeDoors.js"

/** MessagePack with plain maps, as a library of another language writes it. */
const plain = RpcSerialization.makeMsgPack({ useRecords: false, mapsAsObjects: true })
const pack = (message: unknown): Uint8Array => plain.unsafeMake().encode(message) as Uint8Array
const unpack = (bytes: Uint8Array): ReadonlyArray<any> =>
  RpcSerialization.makeMsgPack({ mapsAsObjects: true }).unsafeMake().decode(bytes) as ReadonlyArray<any>

const request = (fields: Record<string, unknown>) => ({
  _tag: "Request",
  id: "7",
  tag: "Get",
  payload: { id: "a" },
  headers: [],
  ...fields
})
const invalid = (field: string, reason: unknown) => ({
  _tag: "Exit",
  requestId: "7",
  exit: { _tag: "Failure", cause: { _tag: "Fail", error: { _tag: "InvalidRequest", field, reason } } }
})
const BAD_REQUESTS: ReadonlyArray<readonly [what: string, message: unknown, answer: unknown]> = [
  ["a method that is not there", request({ tag: "Explode" }), invalid("tag", "there is no method Explode")],
  ["a method named like a member of objects", request({ tag: "constructor" }), invalid("tag", "there is no method constructor")],
  ["a method that is a number", request({ tag: 5 }), invalid("tag", "there is no method 5")],
  ["a method that is a big integer", request({ tag: 2n ** 63n }), invalid("tag", "there is no method that is of type bigint")],
  ["a missing field", request({ payload: {} }), invalid("id", "is missing")],
  ["no payload", request({ payload: undefined }), invalid("id", "is missing")],
  ["a field of another type", request({ payload: { id: 5 } }), invalid("id", "expected string")],
  ["text where bytes are due", request({ tag: "Send", payload: { id: "a", message: "x" } }), invalid("message", "expected Uint8ArrayFromSelf")],
  ["an enum that is not there", request({ tag: "Drain", payload: { mode: "NOW" } }), invalid("mode", expect.stringContaining("expected \"DRAIN_MODE_UNSPECIFIED\""))],
  ["bytes of 8 MiB where text is due, not repeated in the answer", request({ payload: { id: Buffer.alloc(8 << 20, 1) } }), invalid("id", "expected string")]
] // prettier-ignore
const MALFORMED: ReadonlyArray<readonly [what: string, message: unknown]> = [
  ["a number", 5],
  ["null", null],
  ["a map without a tag", {}],
  ["an unknown tag", { _tag: "Hello" }],
  ["a request without an id", request({ id: undefined })],
  ["a request whose id is no number", request({ id: "seven" })],
  ["an Ack for nothing", { _tag: "Ack" }],
  ["an Interrupt of an object", { _tag: "Interrupt", requestId: {} }]
]

/** A bare socket: answers in order, and how it was closed. */
const dial = (url: string, headers: Record<string, string> = {}, options: ClientOptions = {}) =>
  Effect.acquireRelease(
    Effect.async<{ ws: WebSocket; answers: Array<any>; closed: () => { code: number; reason: string } | undefined }>(
      (resume) => {
        const ws = new WebSocket(`${url.replace("http", "ws")}/rpc/ws`, { ...options, headers })
        const answers: Array<any> = []
        let closed: { code: number; reason: string } | undefined
        ws.on("message", (data) => answers.push(...unpack(data as Buffer)))
        ws.on("close", (code, reason) => (closed = { code, reason: String(reason) }))
        ws.on("open", () => resume(Effect.succeed({ ws, answers, closed: () => closed })))
        ws.on("error", () => {})
      }
    ),
    ({ ws }) => Effect.sync(() => ws.terminate())
  )
const until = (holds: () => boolean) =>
  Effect.repeat(Effect.sync(holds), { until: (b) => b, schedule: Schedule.spaced("5 millis") })
const post = (url: string, body: Uint8Array) =>
  Effect.promise(async () => {
    const answer = await fetch(`${url}/rpc`, { method: "POST", body })
    const bytes = new Uint8Array(await answer.arrayBuffer())
    return { status: answer.status, type: answer.headers.get("content-type"), bytes }
  })

describe("a hand-made client", () => {
  it.scopedLive("is answered InvalidRequest, call by call, over the socket; its other calls go on", () =>
    Effect.gen(function* () {
      const { log, url } = yield* start()
      const { answers, ws } = yield* dial(url)
      ws.send(pack(request({ id: "1", tag: "Receive", payload: { id: "quiet" } })))
      yield* until(() => log.open === 1)
      for (const [, message, answer] of BAD_REQUESTS) {
        ws.send(pack(message))
        yield* until(() => answers.length > 0)
        expect(answers.splice(0)).toEqual([answer])
      }
      ws.send(pack(request({})))
      yield* until(() => answers.length > 0)
      expect(answers[0]).toMatchObject({
        requestId: "7",
        exit: { _tag: "Success", value: { connection: { id: "a" } } }
      })
      expect(log.open).toBe(1)
    })
  )

  it.scopedLive("is answered InvalidRequest over HTTP too", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const [, message, expected] of BAD_REQUESTS) {
        const { bytes, status } = yield* post(url, pack(message))
        expect(status).toBe(200)
        expect(unpack(bytes)).toEqual([expected])
      }
      const both = yield* post(
        url,
        Buffer.concat([pack(request({ id: "1" })), pack(request({ id: "2", payload: {} }))])
      )
      expect(unpack(both.bytes).map((a) => [a.requestId, a.exit._tag])).toEqual([["1", "Success"], ["2", "Failure"]]) // prettier-ignore
    })
  )

  it.scopedLive("that sends no request at all is told so, and the server lives", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const [, message] of MALFORMED) {
        const { answers, ws } = yield* dial(url)
        ws.send(pack(message))
        yield* until(() => answers.length > 0)
        expect(answers[0]._tag).toBe("Defect")
        const { bytes, status, type } = yield* post(url, pack(message))
        expect([status, type]).toEqual([400, "application/problem+json"])
        expect(JSON.parse(Buffer.from(bytes).toString())).toMatchObject({ title: "InvalidRequest", field: "body" })
      }
      for (const body of [Buffer.alloc(0), Buffer.from([0x82, 0xa1]), Buffer.from([0xc1])]) {
        expect((yield* post(url, body)).status).toBe(400)
      }
      const manager = yield* client("ws", url)
      expect((yield* manager.Get({ id: "a" })).connection.id).toBe("a")
    })
  )

  it.scopedLive("is closed with the reason when it sends text, garbage, or more than 24 MiB", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const cases = [
        ["hello", 1003],
        [Buffer.from([0x82, 0xa1]), 1007],
        [Buffer.alloc(25 << 20), 1009]
      ] as const
      for (const [data, code] of cases) {
        const { closed, ws } = yield* dial(url)
        ws.send(data)
        yield* until(() => closed() !== undefined)
        expect(closed()?.code).toBe(code)
      }
    })
  )

  it.scopedLive("that does not read its answers is not read any more, until it does", () =>
    Effect.gen(function* () {
      const { metrics, url } = yield* start()
      const { answers, ws } = yield* dial(url)
      const message = Buffer.alloc(4 << 20)
      const sends = metrics.rpcSeconds("rpc-ws", "Send", "OK")
      ws.pause()
      for (let id = 1; id <= 24; id++)
        ws.send(pack(request({ id: String(id), tag: "Send", payload: { id: "a", message } })))
      // what is taken comes to a standstill
      let before = -1
      yield* Effect.iterate(sends.count, {
        while: (count) => count < 8 || count !== before,
        body: (count) => Effect.as(Effect.sleep("300 millis"), (before = count)).pipe(Effect.map(() => sends.count))
      })
      expect(sends.count).toBeLessThan(20)
      ws.resume()
      yield* until(() => answers.length === 24)
      expect(sends.count).toBe(24)
    })
  )

  it.scoped("that answers no ping is dropped after a minute; one that does stays", () =>
    Effect.gen(function* () {
      const { log, url } = yield* start()
      const deaf = yield* dial(url, {}, { autoPong: false })
      const living = yield* dial(url)
      const gone = once(deaf.ws, "close")
      deaf.ws.send(pack(request({ tag: "Receive", payload: { id: "quiet" } })))
      for (let turn = 0; turn < 2; turn++) {
        const pinged = once(living.ws, "ping")
        yield* TestClock.adjust("30 seconds")
        yield* Effect.promise(() => pinged)
        const answered = once(living.ws, "message")
        living.ws.send(pack(request({})))
        yield* Effect.promise(() => answered)
      }
      yield* Effect.promise(() => gone)
      expect(living.closed()).toBeUndefined()
      const turn = Effect.promise(() => new Promise((done) => setImmediate(done)))
      yield* Effect.repeat(
        Effect.map(turn, () => log.open),
        { until: (n) => n === 0 }
      )
    })
  )

  it.scopedLive("of stock @effect/rpc parts works as it is", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const protocol = yield* Layer.build(
        RpcClient.layerProtocolSocket().pipe(
          Layer.provide(NodeSocket.layerWebSocket(`${url.replace("http", "ws")}/rpc/ws`)),
          Layer.provide(RpcSerialization.layerMsgPack)
        )
      )
      const stock = yield* Effect.provide(RpcClient.make(ManagerRpcs), protocol)
      expect((yield* stock.Get({ id: "a" })).connection.id).toBe("a")
      expect(yield* Effect.flip(stock.Get({ id: "error:NoTarget" }))).toMatchObject({
        _tag: "NoTarget",
        target: "other"
      })
      const frames = yield* stock.Receive({ id: "frames:200:10:32" }).pipe(Stream.runCollect)
      expect(Chunk.size(frames)).toBe(200)
    })
  )
})
