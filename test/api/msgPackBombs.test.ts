/** MessagePack that is small on the wire and large in memory: refused before it is decoded, at every door and by both clients. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Context from "effect/Context"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { once } from "node:events"
import { Packr } from "msgpackr"
import { expect } from "vitest"
import { WebSocket, WebSocketServer } from "ws"
import * as PeerSocket from "../../src/adapters/peers/PeerSocket.js"
import * as PeerAdmission from "../../src/api/rpc/PeerAdmission.js"
import { CALLER, PEER } from "../../src/domain/Limits.js"
import * as Client from "../../src/rpc/Client.js"
import * as Scan from "../../src/rpc/MsgPackScan.js"
import { keyOf } from "../../src/rpc/PeerProof.js"
import { answers, bodies, frames } from "../../src/rpc/Serialization.js"
import { start } from "../support/FakeDoors.js"

const MIB = 1024 * 1024
const times = (count: number, ...bytes: ReadonlyArray<number>) =>
  Buffer.concat(Array.from({ length: count }, () => Buffer.from(bytes)))

/** What it is · the bytes · whether it is over a limit (1008), or makes no sense (1007). */
const BOMBS: ReadonlyArray<readonly [what: string, bytes: Buffer, overLimit: boolean]> = [
  ["twelve array32 of 33 million, 60 bytes", times(12, 0xdd, 1, 0xff, 0xff, 0xff), false],
  ["arrays16 inside each other, 72 KB", times(24_000, 0xdc, 0xff, 0xff), false],
  ["arrays of one inside each other", Buffer.concat([times(40, 0x91), Buffer.from([0xc0])]), true],
  ["maps inside each other", Buffer.concat([times(40, 0x81, 0xa1, 0x61), Buffer.from([0xc0])]), true],
  ["a map32 of four thousand million", Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff, 0xa0, 0xc0]), false],
  ["a map16 that claims more than it has", Buffer.from([0xde, 0xff, 0xff, 0xa0, 0xc0]), false],
  ["a str32 that claims 4 GiB", Buffer.from([0xdb, 0xff, 0xff, 0xff, 0xff, 0x61]), false],
  ["a bin32 that claims 4 GiB", Buffer.from([0xc6, 0xff, 0xff, 0xff, 0xff, 0x61]), false],
  ["an array32 of empty maps, a byte and an object each", Buffer.concat([Buffer.from([0xdd, 0, 0x10, 0, 0]), Buffer.alloc(MIB, 0x80)]), true],
  ["a mebibyte of nils", Buffer.alloc(MIB, 0xc0), true],
  ["a record with as many keys as there are bytes", Buffer.from([0xd4, 0x72, 0x40, 0xdd, 0x7f, 0xff, 0xff, 0xff]), false],
  ["a record of a thousand keys that is used without values", Buffer.concat([Buffer.from([0xd4, 0x72, 0x40, 0xdc, 0x03, 0xe8]), Buffer.alloc(1000, 0xa0), times(20, 0x40)]), false],
  ["a record inside itself", Buffer.concat([Buffer.from([0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61]), Buffer.alloc(100, 0x40)]), true],
  ["a record whose keys are an array", Buffer.from([0xd4, 0x72, 0x40, 0x91, 0x91, 0xa1, 0x61, 0xc0]), false],
  ["a record with an id of two bytes", Buffer.from([0xd5, 0x72, 0x40, 0x00, 0x91, 0xa1, 0x61, 0xc0]), false],
  ["a big integer of 1 MiB", Buffer.concat([Buffer.from([0xc9, 0x00, 0x10, 0x00, 0x00, 0x42]), Buffer.alloc(MIB, 0x7f)]), false],
  ["an error", Buffer.concat([Buffer.from([0xd4, 0x65, 0x00]), Buffer.from([0x92, 0xa1, 0x61, 0xa1, 0x62])]), false],
  ["a regular expression", Buffer.concat([Buffer.from([0xd4, 0x78, 0x00]), Buffer.from([0x92, 0xa1, 0x61, 0xa0])]), false],
  ["a set", Buffer.from([0xd4, 0x73, 0x00, 0x90]), false],
  ["a reference", Buffer.from([0xd6, 0x70, 0, 0, 0, 1]), false],
  ["bundled strings", Buffer.from([0xd6, 0x62, 0x7f, 0xff, 0xff, 0xff, 0xc1, 0x01]), false],
  ["a typed array", Buffer.from([0xc7, 0x01, 0x74, 0x08]), false],
  ["what is never used", Buffer.from([0xc1]), false],
  ["a message and half of another", Buffer.from([0x80, 0x82, 0xa1]), false]
] // prettier-ignore

const judge = (limits: Scan.ScanLimits, bytes: Uint8Array): number | Scan.NotMessagePack => {
  try {
    return Scan.make(limits)(bytes)
  } catch (error) {
    return error as Scan.NotMessagePack
  }
}

describe("a MessagePack bomb", () => {
  it.each(BOMBS)("is refused by the scan: %s", (_what, bytes, overLimit) => {
    const limits = { messages: Infinity, values: CALLER.MSGPACK_VALUES }
    for (const each of [limits, Scan.BODY, Scan.FRAME, { ...Scan.ANSWER, values: MIB }]) {
      expect(judge(each, bytes)).toBeInstanceOf(Scan.NotMessagePack)
    }
    expect((judge(limits, bytes) as Scan.NotMessagePack).overLimit).toBe(overLimit)
  })

  it("of any kind holds no more memory than its bytes, and is refused in linear time", () => {
    const grown = (what: () => void) => {
      const before = process.memoryUsage()
      what()
      const after = process.memoryUsage()
      return after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers
    }
    for (const [, bytes] of BOMBS) expect(grown(() => void judge(Scan.FRAME, bytes))).toBeLessThan(2 * MIB)
    /** Bytes that the scan walks to their end. */
    const walked = (n: number) => Buffer.concat([Buffer.from([0xdd, ...u32(n)]), Buffer.alloc(n, 0x80)])
    const limits = { messages: 1, values: Infinity }
    const fastest = (n: number) => {
      const bytes = walked(n)
      return Math.min(
        ...Array.from({ length: 5 }, () => {
          const started = performance.now()
          expect(judge(limits, bytes)).toBe(1)
          return performance.now() - started
        })
      )
    }
    fastest(200_000)
    // a busy machine may disturb one look, not ten
    let ratio = Infinity
    for (let look = 0; look < 10 && ratio >= 2.5; look++) ratio = fastest(2_000_000) / fastest(1_000_000)
    expect(ratio).toBeLessThan(2.5)
  })

  it("is no message of our own client or server, whatever stands in it", () => {
    const values = [
      { _tag: "Request", id: "1", tag: "Connect", payload: { url: "wss://a", at: new Date(), none: undefined }, headers: [["a", "b"]] },
      { tags: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`key-${i}`, "v".repeat(i * 9)])), __proto__: null },
      { inner: {} },
      [{ a: [] }, [{}]],
      { data: new Uint8Array(70_000), more: [new Uint8Array(0), Uint8Array.of(1), -1, -200, 70_000, 2 ** 40, 1.5, -(2 ** 40), true, null] },
      [new Date(0), new Date(1e12 + 1), new Date(-1), new Date(8e15), "é".repeat(40_000), {}, [], Array.from({ length: 20 }, (_, i) => ({ i }))],
      Array.from({ length: 70 }, (_, i) => ({ [`name${i}`]: i, other: { [`inner${i}`]: { i } } }))
    ] // prettier-ignore
    for (const value of values) {
      const bytes = view(bodies.unsafeMake().encode(value) as Uint8Array)
      expect(bodies.unsafeMake().decode(bytes)).toEqual([value])
      expect(frames.unsafeMake().decode(view(Buffer.concat([bytes, Buffer.from([0x05]), bytes])))).toEqual([
        value,
        5,
        value
      ])
      const plain = view(new Packr({ useRecords: false }).pack(value))
      expect(bodies.unsafeMake().decode(plain)).toEqual([value])
    }
  })

  it("is judged as the decoder reads it: whatever passes decodes to as many messages, whole", () => {
    const random = seeded(7)
    const heads = [0x40, 0x41, 0x80, 0x81, 0x82, 0x90, 0x91, 0x93, 0xa0, 0xa2, 0xc0, 0xc2, 0xc4, 0xca, 0xcc, 0xcd, 0xd0, 0xd4, 0xd6, 0xd9, 0xdc, 0xde, 0xe0, 0x00, 0x01, 0x02, 0x72, 0xff] // prettier-ignore
    let passed = 0
    for (let i = 0; i < 20_000; i++) {
      const bytes = Buffer.from(Array.from({ length: 1 + random(24) }, () => heads[random(heads.length)]!))
      const messages = judge(Scan.BODY, bytes)
      if (typeof messages !== "number") continue
      passed += 1
      try {
        expect(bodies.unsafeMake().decode(bytes)).toHaveLength(messages)
      } catch (error) {
        // keys of maps that are no names are the decoder's to refuse
        expect(String(error)).toMatch(/Invalid property type|Invalid time|DataView/)
      }
    }
    expect(passed).toBeGreaterThan(500)
  })
})

describe("a door", () => {
  it.scopedLive("refuses each over HTTP with 400 and goes on", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const [what, bytes] of BOMBS) {
        const answer = yield* Effect.promise(() => fetch(`${url}/rpc`, { method: "POST", body: bytes }))
        expect([what, answer.status]).toEqual([what, 400])
        expect(yield* Effect.promise(() => answer.json())).toMatchObject({ title: "InvalidRequest", field: "body" })
      }
      const nils = yield* Effect.promise(() =>
        fetch(`${url}/rpc`, { method: "POST", body: Buffer.alloc(24 * MIB, 0xc0) })
      )
      expect(nils.status).toBe(400)
      expect((yield* Effect.promise(() => fetch(`${url}/alive`))).status).toBe(200)
    })
  )

  it.scopedLive("closes the socket that brought one, and sends it no answer for each nil", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const [what, bytes, overLimit] of BOMBS) {
        const ws = new WebSocket(`${url.replace("http", "ws")}/rpc/ws`)
        let answered = 0
        ws.on("message", (data: Buffer) => (answered += data.length))
        yield* Effect.promise(() => once(ws, "open"))
        ws.send(bytes)
        const [code] = yield* Effect.promise(() => once(ws, "close"))
        expect([what, code, answered]).toEqual([what, overLimit || bytes.length === 60 ? code : 1007, 0])
        expect([1007, 1008]).toContain(code)
      }
      const ws = new WebSocket(`${url.replace("http", "ws")}/rpc/ws`)
      let answered = 0
      ws.on("message", (data: Buffer) => (answered += data.length))
      yield* Effect.promise(() => once(ws, "open"))
      ws.send(Buffer.alloc(CALLER.MESSAGES_PER_FRAME, 0xc0))
      ws.send(Buffer.alloc(CALLER.MESSAGES_PER_FRAME + 1, 0xc0))
      const [code] = yield* Effect.promise(() => once(ws, "close"))
      expect(code).toBe(1008)
      expect(answered).toBeLessThan(CALLER.MESSAGES_PER_FRAME * 200)
    })
  )
})

/** A server that answers everything with these bytes. */
const KEY = keyOf("a secret of the fleet")

/** `peer`: shows that it is of the fleet first. */
const hostile = (bytes: Uint8Array, peer = false) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer((request, response) => {
        request.resume()
        response.end(bytes)
      })
      const sockets = new WebSocketServer({ server })
      const answers = (ws: WebSocket) => void ws.on("message", () => ws.send(bytes))
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const self = () => ({ id: "hostile", incarnation: "", address: url })
      const admit = PeerAdmission.make({ keys: [KEY], self, admitted: answers, refused: () => {} })
      sockets.on("connection", (ws, request) => (peer ? admit(ws, request.socket) : answers(ws)))
      return { url, server }
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

const NONSENSE = [null, 5, [], {}, { _tag: "Chunk" }, { _tag: "Chunk", requestId: "x", values: [] }, { _tag: "Exit", requestId: "0" }, { _tag: "ClientProtocolError", error: null }] // prettier-ignore
const pack = (value: unknown) => new Packr({ useRecords: false }).pack(value)

describe("a client", () => {
  it.scopedLive("fails its call when the server answers with one, and lives", () =>
    Effect.gen(function* () {
      const few = BOMBS.filter(([what]) => !/maps, a byte|nils/.test(what)).map(([, bytes]) => bytes)
      const many = [Buffer.alloc(CALLER.MESSAGES_PER_BODY + 1, 0xc0), Buffer.concat([Buffer.from([0xdd, ...u32(2 * MIB)]), Buffer.alloc(2 * MIB, 0x80)])] // prettier-ignore
      for (const bytes of [...few, ...many, ...NONSENSE.map(pack)]) {
        const { url } = yield* hostile(bytes)
        for (const layer of [Client.layer({ url }), Client.layerHttp({ url })]) {
          const manager = Context.get(yield* Layer.build(layer), Client.ManagerClient)
          const exit = yield* Effect.exit(manager.Get({ id: "a" }))
          expect(Exit.isFailure(exit)).toBe(true)
          expect(String(exit)).toMatch(/is not the RPC door of a manager/)
        }
      }
    })
  )

  it.scopedLive("that is a peer cuts the link, and its calls end", () =>
    Effect.gen(function* () {
      for (const bytes of [...BOMBS.map(([, bytes]) => bytes), ...NONSENSE.map(pack)]) {
        const { url } = yield* hostile(bytes, true)
        const incarnation = "01980000-0000-7000-8000-00000000000a"
        const from = { id: "a", incarnation: "", address: url }
        const session = yield* PeerSocket.make(url, { keys: [KEY], me: from, secureOnly: false, tls: undefined, pingMs: 1000, silentPings: 10 }) // prettier-ignore
        expect(
          Exit.isFailure(yield* Effect.exit(session.unary("PeerHello", { from: { ...from, incarnation } }, {})))
        ).toBe(true)
        expect(yield* session.ended).toBe("broke")
      }
    })
  )

  it("reads answers of as many values as a page may have, and no more", () => {
    const row = { _tag: "Pong", rows: Array.from({ length: PEER.MSGPACK_VALUES / 8 }, (_, i) => ({ a: i, b: i })) }
    expect(answers.unsafeMake().decode(pack(row))).toHaveLength(1)
    const more = { _tag: "Pong", rows: Array.from({ length: PEER.MSGPACK_VALUES / 2 }, (_, i) => ({ a: i, b: i })) }
    expect(() => answers.unsafeMake().decode(pack(more))).toThrow(Scan.NotMessagePack)
  })
})

/** Not as a Buffer, whose bytes would be Buffers too. */
const view = (bytes: Uint8Array) => new Uint8Array(bytes)
const u32 = (n: number) => [n >>> 24, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff]

const seeded = (seed: number) => {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >>> 8) % below
  }
}
