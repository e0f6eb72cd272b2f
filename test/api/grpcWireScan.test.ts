import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf"
import * as FastCheck from "effect/FastCheck"
import { describe, expect, it } from "vitest"
import { CALLER } from "../../src/domain/Limits.js"
import { scannerOf } from "../../src/api/grpc/WireScan.js"
import * as Proto from "../../src/api/grpc/generated/websocketmanager/v1/websocketmanager_pb.js"

const refusal = (desc: DescMessage, bytes: Uint8Array): string | undefined => {
  try {
    scannerOf(desc)(bytes)
    return undefined
  } catch (error) {
    return (error as { readonly reason: string }).reason
  }
}
const repeat = (unit: ReadonlyArray<number>, n: number) =>
  Uint8Array.from({ length: unit.length * n }, (_, i) => unit[i % unit.length]!)
const TOO_MANY = `the message has more than ${CALLER.GRPC_FIELDS} fields`
const MALFORMED = "the message is not valid protobuf"

const CONNECT = create(Proto.ConnectRequestSchema, {
  url: "ws://h/",
  autoReconnect: false,
  tags: { a: "b", "": "" },
  headers: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`h${i}`, "v"])),
  subprotocols: ["a", "b"],
  handshake: [
    { step: { case: "sendText", value: new Uint8Array(300) } },
    { step: { case: "expect", value: { jsonPath: "$.a", timeoutMs: 2 ** 32 - 1, capture: { x: "$.x" } } } }
  ],
  reconnect: { factor: 1.5, giveUpCodes: Array.from({ length: 4000 }, (_, i) => 1000 + i), retryCodes: [4000] },
  keepAlive: { disablePing: true, pingBinary: new Uint8Array(5) },
  maxReplyBytes: 7
})

describe("the look at protobuf before it is decoded", () => {
  it("lets every request through that is within the limits", () => {
    expect(refusal(Proto.ConnectRequestSchema, toBinary(Proto.ConnectRequestSchema, CONNECT))).toBeUndefined()
    const list = create(Proto.ListRequestSchema, {
      filters: Array.from({ length: 1000 }, () => ({ key: "k", value: "v" })),
      statuses: [1, 2, 3],
      pageSize: 5
    })
    expect(refusal(Proto.ListRequestSchema, toBinary(Proto.ListRequestSchema, list))).toBeUndefined()
    expect(refusal(Proto.GetRequestSchema, new Uint8Array())).toBeUndefined()
  })

  it.each([
    ["empty filters", Proto.ListRequestSchema, [0x0a, 0x00]],
    ["statuses, one by one", Proto.ListRequestSchema, [0x10, 0x01]],
    ["fields that nobody knows", Proto.GetRequestSchema, [0xf8, 0x07, 0x01]],
    ["ids to watch", Proto.WatchRequestSchema, [0x0a, 0x01, 0x61]],
    ["tags", Proto.SetTagsRequestSchema, [0x12, 0x00]],
    ["steps of a login", Proto.ConnectRequestSchema, [0x42, 0x00]],
    ["one text given again and again", Proto.GetRequestSchema, [0x0a, 0x00]]
  ] as const)("a million %s are refused undecoded", (_, desc, unit) => {
    expect(refusal(desc, repeat(unit, CALLER.GRPC_FIELDS))).toBeUndefined()
    expect(refusal(desc, repeat(unit, CALLER.GRPC_FIELDS + 1))).toBe(TOO_MANY)
    expect(refusal(desc, repeat(unit, 1_000_000))).toBe(TOO_MANY)
  })

  it("so are packed numbers, and what stands deep inside", () => {
    const statuses = repeat([0x01], 1_000_000)
    expect(refusal(Proto.ListRequestSchema, Uint8Array.from([0x12, 0xc0, 0x84, 0x3d, ...statuses]))).toBe(TOO_MANY)
    const inner = toBinary(
      Proto.ConnectRequestSchema,
      create(Proto.ConnectRequestSchema, { reconnect: { retryCodes: Array.from({ length: 20_000 }, () => 4000) } })
    )
    expect(refusal(Proto.ConnectRequestSchema, inner)).toBe(TOO_MANY)
  })

  it("no known field hides others behind a wire type that is not its own", () => {
    // the decoder takes the length for the number of a uint32, and what is skipped here for a million filters
    const hidden = Uint8Array.from([0x32, 0xa0, 0x8d, 0x06, ...repeat([0x0a, 0x00], 50_000)])
    expect(refusal(Proto.ListRequestSchema, hidden)).toBe(MALFORMED)
    for (const bytes of [
      [0x0b],
      [0x0b, 0x0c],
      [0x0a, 0x7f, 0x61],
      [0x0a],
      [0x80],
      [0x08, 0x01],
      Array(20).fill(0x80)
    ]) {
      expect(refusal(Proto.GetRequestSchema, Uint8Array.from(bytes))).toBe(MALFORMED)
    }
  })

  it("what it lets through of any bytes is no more for the decoder: what that makes of them is let through again", () => {
    const whole = toBinary(Proto.ConnectRequestSchema, CONNECT)
    FastCheck.assert(
      FastCheck.property(
        FastCheck.nat(whole.length - 1),
        FastCheck.uint8Array({ maxLength: 6 }),
        FastCheck.nat(3),
        (at, put, cut) => {
          const bytes = Uint8Array.from([...whole.subarray(0, at), ...put, ...whole.subarray(at + cut)])
          if (refusal(Proto.ConnectRequestSchema, bytes) !== undefined) return
          let decoded: Proto.ConnectRequest
          try {
            decoded = fromBinary(Proto.ConnectRequestSchema, bytes, { readUnknownFields: false })
          } catch {
            // a text that is no UTF-8, which only the decoder looks at
            return
          }
          expect(refusal(Proto.ConnectRequestSchema, toBinary(Proto.ConnectRequestSchema, decoded))).toBeUndefined()
        }
      ),
      { numRuns: 500 }
    )
  })
})
