import { describe, expect, it } from "vitest"
import * as FastCheck from "effect/FastCheck"
import { encode, encodedSize, encodedSizeBound, eventId, fits } from "../../src/domain/CloudEvent.js"
import { gapAttributes, LifecycleEvent } from "../../src/domain/ConnectionEvent.js"
import { Frame, FramePack, OCTET_STREAM, TEXT_PLAIN, type FrameOrigin } from "../../src/domain/Frame.js"

const origin = (textContentType = TEXT_PLAIN): FrameOrigin => ({
  connectionId: "0190b7a0-0000-7000-8000-000000000001",
  connectionUrl: 'wss://example.com/feed?token=***&q="x"',
  instanceId: "host-1",
  epoch: 1_800_000_000,
  textContentType
})
const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 6)
const text = (content: string, sequence = 7, o = origin()): Frame =>
  new Frame(o, sequence, AT + sequence, false, Buffer.from(content))
const binary = (content: Uint8Array, sequence = 7): Frame =>
  new Frame(origin(), sequence, AT + sequence, true, Buffer.from(content))
const parsed = (event: Parameters<typeof encode>[0]): Record<string, unknown> =>
  JSON.parse(encode(event)) as Record<string, unknown>

const common = {
  specversion: "1.0",
  source: "urn:websocketmanager:host-1",
  subject: "0190b7a0-0000-7000-8000-000000000001",
  connectionid: "0190b7a0-0000-7000-8000-000000000001",
  connectionurl: 'wss://example.com/feed?token=***&q="x"',
  instanceid: "host-1",
  epoch: "1800000000"
}

describe("CloudEvents", () => {
  it("a text frame of text/plain stands in data as a JSON string, byte for byte", () => {
    expect(parsed(text('{"big":12345678901234567890,"f":1.0}\u0000\u2028é😀'))).toEqual({
      ...common,
      id: "0190b7a0-0000-7000-8000-000000000001:1800000000:7",
      type: "websocketmanager.frame",
      time: "2026-01-02T03:04:05.013Z",
      datacontenttype: "text/plain",
      sequence: "7",
      data: '{"big":12345678901234567890,"f":1.0}\u0000\u2028é😀'
    })
  })

  it("a binary frame stands in data_base64 as application/octet-stream", () => {
    const event = parsed(binary(Uint8Array.from([0, 255, 128, 10])))
    expect(event["datacontenttype"]).toBe(OCTET_STREAM)
    expect(event["data_base64"]).toBe("AP+ACg==")
    expect(event).not.toHaveProperty("data")
  })

  it("a text frame of another content type stands in data_base64 under that type", () => {
    const event = parsed(text('{"a":1.0}', 7, origin("application/json")))
    expect(event["datacontenttype"]).toBe("application/json")
    expect(Buffer.from(event["data_base64"] as string, "base64").toString()).toBe('{"a":1.0}')
    expect(event).not.toHaveProperty("data")
  })

  it("an empty frame is an event with empty data", () => {
    expect(parsed(text(""))["data"]).toBe("")
    expect(parsed(binary(new Uint8Array()))["data_base64"]).toBe("")
  })

  it("there is no trace attribute where there is no trace", () => {
    for (const event of [text("x"), new FramePack(origin(), [text("x")])]) {
      expect(parsed(event)).not.toHaveProperty("traceid")
      expect(parsed(event)).not.toHaveProperty("traceparent")
    }
  })

  it("a pack is one event with its frames in order, text as text whatever the content type", () => {
    const o = origin("application/json")
    const pack = new FramePack(o, [text('{"a":1.0}', 3, o), binary(Uint8Array.from([1, 2]), 4), text("", 9, o)])
    expect(parsed(pack)).toEqual({
      ...common,
      id: "0190b7a0-0000-7000-8000-000000000001:1800000000:3-9",
      type: "websocketmanager.frames",
      time: "2026-01-02T03:04:05.009Z",
      datacontenttype: "application/json",
      sequence: "3",
      sequencelast: "9",
      data: [
        { s: 3, t: AT + 3, text: '{"a":1.0}' },
        { s: 4, t: AT + 4, base64: "AQI=" },
        { s: 9, t: AT + 9, text: "" }
      ]
    })
    expect(eventId(pack)).toBe("0190b7a0-0000-7000-8000-000000000001:1800000000:3-9")
  })

  it("a lifecycle event carries its attributes as text", () => {
    const last = { epoch: 5, sequence: 10, at: AT }
    const attributes = gapAttributes("overflow", last, { epoch: 5, sequence: 13, at: 0 }, 2)
    expect(parsed(new LifecycleEvent("gap", "c1", "host-1", 5, AT, attributes, "event-1"))).toEqual({
      specversion: "1.0",
      id: "event-1",
      source: "urn:websocketmanager:host-1",
      type: "websocketmanager.gap",
      subject: "c1",
      time: "2026-01-02T03:04:05.006Z",
      connectionid: "c1",
      instanceid: "host-1",
      epoch: "5",
      cause: "overflow",
      lastepoch: "5",
      lastsequence: "10",
      lastat: "2026-01-02T03:04:05.006Z",
      firstepoch: "5",
      firstsequence: "13",
      firstat: "",
      lost: "2"
    })
  })

  it("an event of an instance has neither subject nor connection", () => {
    const attributes = { address: "http://10.0.0.1:5001", incarnation: "i1" }
    const event = parsed(new LifecycleEvent("instance-joined", "", "host-1", 0, AT, attributes, "event-1"))
    expect(event["type"]).toBe("websocketmanager.instance-joined")
    expect(Object.keys(event)).not.toContain("subject")
    expect(Object.keys(event)).not.toContain("connectionid")
    expect(Object.keys(event)).not.toContain("epoch")
  })

  it("any text and any bytes come back as they were, and the bound is never below the size", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.oneof(FastCheck.string({ unit: "grapheme" }), FastCheck.string({ unit: "binary-ascii" })),
        FastCheck.uint8Array(),
        FastCheck.dictionary(FastCheck.string({ unit: "binary" }), FastCheck.string({ unit: "binary" })),
        (content, bytes, attributes) => {
          const t = text(content)
          const b = binary(bytes, 8)
          expect(Buffer.from(parsed(t)["data"] as string).equals(t.data)).toBe(true)
          expect(Buffer.from(parsed(b)["data_base64"] as string, "base64").equals(b.data)).toBe(true)
          const pack = new FramePack(t.origin, [t, b])
          const items = parsed(pack)["data"] as Array<{ text: string; base64: string }>
          expect(Buffer.from(items[0]!.text).equals(t.data)).toBe(true)
          expect(Buffer.from(items[1]!.base64, "base64").equals(b.data)).toBe(true)
          const lifecycle = new LifecycleEvent("error", content, content, 1, AT, attributes, "id")
          for (const event of [t, b, pack, lifecycle]) {
            expect(encodedSize(event)).toBe(Buffer.byteLength(encode(event)))
            expect(encodedSizeBound(event)).toBeGreaterThanOrEqual(encodedSize(event))
            expect(fits(event, encodedSize(event))).toBe(true)
            expect(fits(event, encodedSize(event) - 1)).toBe(false)
          }
        }
      ),
      { numRuns: 50 }
    )
  })

  it("16 MiB of control characters are sized without being encoded", () => {
    const frame = text("\u0001".repeat(16 * 1024 * 1024))
    const before = process.cpuUsage()
    expect(encodedSize(frame)).toBeGreaterThan(6 * 16 * 1024 * 1024)
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(400)
  })

  it("16 MiB of bytes are encoded far faster than a lease lasts", () => {
    const frame = binary(Buffer.alloc(16 * 1024 * 1024, 7))
    const before = performance.now()
    encode(frame)
    expect(performance.now() - before).toBeLessThan(500)
  })
})
