import { describe, expect, it } from "vitest"
import {
  eventJson,
  eventLine,
  frameJson,
  frameLine,
  publishedJson,
  publishedLines,
  replyJson,
  type Style
} from "../../src/cli/Format.js"
import { clock } from "../../src/cli/Text.js"
import { LIFECYCLE_NAMES } from "../../src/domain/ConnectionEvent.js"

const AT = new Date(1_700_000_000_123)
const plain: Style = { colour: false, columns: undefined }
const narrow: Style = { colour: false, columns: 80 }
const coloured: Style = { colour: true, columns: undefined }
const bytes = (text: string) => new Uint8Array(Buffer.from(text))

const frame = (data: Uint8Array, contentType = "text/plain", missed = 0) => ({
  data,
  contentType,
  epoch: 3,
  sequence: 42,
  receivedAt: AT,
  missed
})

describe("a frame", () => {
  it("is one line: time, epoch and sequence, size, text", () => {
    expect(frameLine(plain, frame(bytes('{"a":1}')))).toBe(`${clock(AT)}  3:42                    7 B  {"a":1}`)
  })

  it("of bytes is shown in hex", () => {
    expect(frameLine(plain, frame(new Uint8Array([0, 27, 255]), "application/octet-stream"))).toMatch(/hex 00 1b ff$/)
  })

  it("cannot drive the terminal", () => {
    expect(frameLine(plain, frame(bytes("\u001b]0;owned\u0007\nnext")))).toMatch(/\\e\]0;owned\\x07\\nnext$/)
  })

  it("is cut to the width of the terminal, and whole where there is none", () => {
    const long = frame(bytes("x".repeat(500)))
    expect(frameLine(narrow, long)).toHaveLength(80)
    expect(frameLine(narrow, long)).toMatch(/…$/)
    expect(frameLine(plain, long)).toMatch(/x{500}$/)
  })

  it("says plainly what the reader missed before it", () => {
    expect(frameLine(plain, frame(bytes("a"), "text/plain", 7)).split("\n")[0]).toBe(
      "-- missed 7 frames: this reader was too slow --"
    )
  })

  it("for programs has text as text and bytes as base64", () => {
    expect(JSON.parse(frameJson(frame(bytes("grüße"))))).toEqual({
      epoch: 3,
      sequence: 42,
      receivedAt: AT.toISOString(),
      contentType: "text/plain",
      text: "grüße",
      missed: 0
    })
    expect(JSON.parse(frameJson(frame(new Uint8Array([0, 255]), "application/octet-stream")))).toMatchObject({
      base64: "AP8="
    })
    expect(JSON.parse(replyJson({ response: bytes("x"), contentType: "text/plain" }))).toEqual({
      contentType: "text/plain",
      text: "x"
    })
  })
})

describe("an event", () => {
  const event = {
    type: "reconnecting",
    connectionId: "0190",
    instanceId: "here",
    time: AT,
    attributes: { closecode: "1006", reason: "", delayms: "950" },
    missed: 0
  }

  it("is one line: time, type, connection, who tells it, attributes that have a value", () => {
    expect(eventLine(plain, event)).toBe(`${clock(AT)}  reconnecting       0190  by=here closecode=1006 delayms=950`)
  })

  it("leaves out an epoch that is the event's own, shows times as times of day, and quotes what has blanks", () => {
    const gap = {
      ...event,
      type: "gap",
      attributes: { epoch: "3", lastepoch: "2", firstepoch: "3", firstat: AT.toISOString(), message: "it was cut" }
    }
    expect(eventLine(plain, gap)).toBe(
      `${clock(AT)}  gap                0190  by=here lastepoch=2 firstat=${clock(AT)} message="it was cut"`
    )
  })

  it("of an instance names that one by its address, and who tells it", () => {
    const dead = { ...event, type: "instance-dead", connectionId: "" }
    expect(eventLine(plain, { ...dead, attributes: { address: "http://there:5001", incarnation: "0191" } })).toBe(
      `${clock(AT)}  instance-dead      http://there:5001  by=here incarnation=0191`
    )
    expect(eventLine(plain, { ...dead, attributes: {} })).toBe(`${clock(AT)}  instance-dead      here  by=here`)
  })

  it("stands in the same columns whatever its type", () => {
    const at = LIFECYCLE_NAMES.map((type) => eventLine(plain, { ...event, type }).indexOf("0190  by=here"))
    expect(new Set(at).size).toBe(1)
    expect(at[0]).toBeGreaterThan(0)
  })

  it("has colour only where it is asked for", () => {
    expect(eventLine(coloured, event)).toContain("\u001b[33mreconnecting")
    expect(eventLine(plain, event)).not.toContain("\u001b")
  })

  it("cannot drive the terminal with a reason that a peer chose", () => {
    expect(eventLine(plain, { ...event, attributes: { reason: "\u001b[2J" } })).toContain("reason=\\e[2J")
  })

  it("says plainly what was missed before it", () => {
    expect(eventLine(plain, { ...event, missed: 1 })).toMatch(
      /^-- missed 1 event: this reader was too slow, or an instance could not be heard for a while --\n/
    )
  })

  it("for programs is the answer as JSON", () => {
    expect(JSON.parse(eventJson(event))).toEqual({ ...event, time: AT.toISOString() })
  })
})

describe("a published event", () => {
  const single = {
    specversion: "1.0",
    type: "websocketmanager.frame",
    subject: "0190",
    connectionid: "0190",
    time: AT.toISOString(),
    epoch: "3",
    sequence: "42",
    datacontenttype: "text/plain",
    data: "tick"
  }
  const published = (event: unknown, missed = 0) => ({ event: bytes(JSON.stringify(event)), missed })

  it("is shown as the frame it carries, behind its connection", () => {
    expect(publishedLines(plain, published(single))).toBe(`0190  ${clock(AT)}  3:42                    4 B  tick`)
  })

  it("with bytes shows them in hex, with text of another type as text", () => {
    const { data: _, ...rest } = single
    const base64 = { ...rest, data_base64: "AP8=", datacontenttype: "application/octet-stream" }
    expect(publishedLines(plain, published(base64))).toMatch(/2 B {2}hex 00 ff$/)
    const json = {
      ...rest,
      data_base64: Buffer.from('{"a":1}').toString("base64"),
      datacontenttype: "application/json"
    }
    expect(publishedLines(plain, published(json))).toMatch(/7 B {2}\{"a":1\}$/)
  })

  it("that is packed has a line for each frame", () => {
    const packed = {
      ...single,
      type: "websocketmanager.frames",
      sequencelast: "43",
      data: [
        { s: 42, t: AT.getTime(), text: "one" },
        { s: 43, t: AT.getTime(), base64: "AP8=" }
      ]
    }
    expect(publishedLines(plain, published(packed)).split("\n")).toEqual([
      `0190  ${clock(AT)}  3:42                    3 B  one`,
      `0190  ${clock(AT)}  3:43                    2 B  hex 00 ff`
    ])
  })

  it("of an unknown form is shown as it is", () => {
    expect(publishedLines(plain, { event: bytes("no\u001b json"), missed: 0 })).toBe("no\\e json")
    expect(publishedLines(plain, published({ type: "other" }))).toBe('{"type":"other"}')
    expect(publishedLines(plain, published(null))).toBe("null")
  })

  it("for programs keeps every digit of the event", () => {
    const event = '{"data":12345678901234567890.10,\n"time":"x"}'
    const line = publishedJson({ event: bytes(event), missed: 2 })
    expect(line).toBe('{"event":{"data":12345678901234567890.10, "time":"x"},"missed":2}')
  })
})
