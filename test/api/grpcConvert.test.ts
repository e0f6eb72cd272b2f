import { type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf"
import { describe, expect, it } from "vitest"
import { codecOf } from "../../src/api/grpc/Convert.js"
import { encodeReceiveResponse } from "../../src/api/grpc/FrameWriter.js"
import {
  ConnectRequestSchema,
  GetTagResponseSchema,
  ListRequestSchema,
  ListResponseSchema,
  RebalanceResponseSchema,
  ReceiveResponseSchema,
  SendRequestSchema,
  SetTagsRequestSchema
} from "../../src/api/grpc/generated/websocketmanager/v1/websocketmanager_pb.js"
import type { Connection, ReceiveResponse } from "../../src/domain/Messages.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"

/** Through the wire and back. */
const roundTrip = (desc: DescMessage, value: unknown): unknown => {
  const codec = codecOf(desc)
  return codec.toRpc(fromBinary(desc, toBinary(desc, codec.toMessage(value))))
}

const FULL: ConnectRequest = {
  url: "wss://feed.example/v1",
  autoReconnect: false,
  tags: { venue: "kraken", __proto__x: "1" },
  topic: "prices",
  requestId: "r-1",
  headers: { authorization: "secret:FEED" },
  subprotocols: ["mqtt", "v2"],
  handshake: [
    { sendText: new Uint8Array([123, 125]) },
    { expect: { jsonPath: "$.type", equals: "welcome", timeoutMs: 5000, capture: { token: "$.token" } } },
    { sendBinary: new Uint8Array([0, 255]) }
  ],
  keepAlive: {
    pingIntervalMs: 1,
    deadAfterMs: 2,
    idleAfterMs: 3,
    pingMessage: new Uint8Array([1]),
    disablePing: true,
    pingBinary: new Uint8Array([2])
  },
  reconnect: {
    baseDelayMs: 1,
    maxDelayMs: 2,
    factor: 1.5,
    maxAttempts: 4,
    stableAfterMs: 5,
    dialTimeoutMs: 6,
    giveUpCodes: [4400, 4401],
    retryCodes: [1008],
    leaveCode: 4900
  },
  buffer: { maxFrames: 10, maxBytes: 20, overflow: "OVERFLOW_DROP_OLDEST" },
  correlation: { mode: "CORRELATION_MODE_PREFIX", requestPath: "$.a", replyPath: "$.b" },
  awaitOpen: true,
  onLeaseLoss: "LEASE_LOSS_CONTINUE",
  handover: "HANDOVER_MAKE_BEFORE_BREAK",
  maxMessageBytes: 4_294_967_295,
  maxReplyBytes: 4_294_967_295,
  publishing: {
    packing: "PACKING_PACKED",
    maxFrames: 1,
    maxBytes: 2,
    lingerMs: 3,
    textContentType: "application/json"
  },
  compression: true
}

const CONNECTION: Connection = {
  id: "0190",
  url: "wss://feed.example/",
  status: "CONNECTION_STATUS_RECONNECTING",
  topic: "t",
  instanceId: "a",
  contentType: "text/plain",
  tags: { k: "v" },
  autoReconnect: true,
  epoch: 1_800_000_000,
  createdAt: new Date("2026-11-20T10:00:00.123Z"),
  lastFrameAt: new Date("2026-11-20T10:00:01.999Z"),
  framesReceived: 2 ** 40 + 1,
  framesPublished: Number.MAX_SAFE_INTEGER,
  framesDropped: 0,
  framesSent: 2 ** 32,
  reconnectAttempts: 3,
  lastError: "DialFailed",
  lastCloseCode: 1006
}

describe("conversion by descriptor", () => {
  it("a ConnectRequest with every field set comes back as it was", () => {
    expect(roundTrip(ConnectRequestSchema, FULL)).toEqual(FULL)
  })

  it("a connection keeps 64-bit counters and the milliseconds of its times; an unset time is absent", () => {
    const answer = { connections: [CONNECTION, { ...CONNECTION, connectedAt: new Date(0) }], nextPageToken: "p" }
    expect(roundTrip(ListResponseSchema, answer)).toStrictEqual(answer)
  })

  it("what has presence and is not set is absent; what has none is zero", () => {
    const request = roundTrip(ConnectRequestSchema, { url: "ws://a" }) as ConnectRequest
    for (const absent of [
      "autoReconnect",
      "awaitOpen",
      "keepAlive",
      "reconnect",
      "buffer",
      "correlation",
      "publishing"
    ]) {
      expect(request).not.toHaveProperty(absent)
    }
    expect(request).toMatchObject({ topic: "", tags: {}, handshake: [], onLeaseLoss: "LEASE_LOSS_UNSPECIFIED" })
    expect(roundTrip(ConnectRequestSchema, { url: "", autoReconnect: false })).toMatchObject({ autoReconnect: false })
    expect(roundTrip(GetTagResponseSchema, {})).toEqual({})
    expect(roundTrip(GetTagResponseSchema, { value: undefined })).toEqual({})
    expect(roundTrip(GetTagResponseSchema, { value: "" })).toEqual({ value: "" })
  })

  it("a step of no kind has none of the fields", () => {
    expect(roundTrip(ConnectRequestSchema, { url: "", handshake: [{}] })).toMatchObject({ handshake: [{}] })
  })

  it("maps of numbers and keys like __proto__ come through", () => {
    const rebalanced = { moved: 1, failed: 0, connections: { a: 1, b: 4_294_967_295 } }
    expect(roundTrip(RebalanceResponseSchema, rebalanced)).toEqual(rebalanced)
    const tags = Object.fromEntries([["__proto__", "x"]])
    const back = roundTrip(SetTagsRequestSchema, { id: "i", tags }) as { tags: object }
    expect(Object.entries(back.tags)).toEqual([["__proto__", "x"]])
  })

  it("an enum number that the proto does not have is InvalidRequest and names the field, however deep", () => {
    const connect = codecOf(ConnectRequestSchema)
    const request = connect.toMessage({ url: "", buffer: { overflow: "OVERFLOW_PAUSE" } }) as unknown as {
      buffer: { overflow: number }
    }
    request.buffer.overflow = 77
    const read = () => connect.toRpc(fromBinary(ConnectRequestSchema, toBinary(ConnectRequestSchema, request as never)))
    expect(read).toThrowError(
      expect.objectContaining({
        _tag: "InvalidRequest",
        field: "buffer.overflow",
        reason: "77 is not a value of Overflow"
      })
    )
    const list = codecOf(ListRequestSchema)
    const statuses = { $typeName: "websocketmanager.v1.ListRequest", filters: [], statuses: [2, 9] } as never
    expect(() => list.toRpc(statuses)).toThrowError(expect.objectContaining({ field: "statuses[1]" }))
  })

  it("bytes are passed on, not copied", () => {
    const wire = toBinary(SendRequestSchema, codecOf(SendRequestSchema).toMessage({ id: "i", message: new Uint8Array(99) }) as never) // prettier-ignore
    const { message } = codecOf(SendRequestSchema).toRpc(fromBinary(SendRequestSchema, wire)) as { message: Uint8Array }
    expect(message.buffer).toBe(wire.buffer)
    const data = new Uint8Array(3)
    expect((codecOf(ReceiveResponseSchema).toMessage({ data }) as unknown as { data: Uint8Array }).data).toBe(data)
  })
})

describe("the frame written by hand", () => {
  const general = (frame: ReceiveResponse) =>
    Buffer.from(toBinary(ReceiveResponseSchema, codecOf(ReceiveResponseSchema).toMessage(frame) as never))
  const numbers = [
    0,
    1,
    127,
    128,
    16_383,
    16_384,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 49 - 1,
    2 ** 49,
    Number.MAX_SAFE_INTEGER
  ]
  const sizes = [0, 1, 127, 128, 200, 16_384, 70_000]
  const times = [0, 1, 999, 1000, Date.UTC(2026, 10, 20), Date.UTC(2026, 10, 20) + 1, Date.UTC(2100, 0, 1) + 999]
  const types = ["", "text/plain", "application/octet-stream", "x/ü€𝄞", "y".repeat(200)]

  it("is byte for byte what the descriptor says", () => {
    for (const [i, n] of numbers.entries()) {
      for (const [j, size] of sizes.entries()) {
        for (const time of times) {
          const frame: ReceiveResponse = {
            data: new Uint8Array(size).fill(i + 1),
            contentType: types[(i + j) % types.length]!,
            epoch: n,
            sequence: numbers[(i + j) % numbers.length]!,
            receivedAt: new Date(time),
            missed: numbers[(i * 3 + j) % numbers.length]!
          }
          expect(encodeReceiveResponse(frame).equals(general(frame))).toBe(true)
        }
      }
    }
  })
})
