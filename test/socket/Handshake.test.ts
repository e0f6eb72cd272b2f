import { describe, expect, it } from "vitest"
import { FEED } from "../../src/domain/Limits.js"
import type { ExpectStep, ResolvedStep } from "../../src/domain/Spec.js"
import { parseTemplate } from "../../src/domain/Templates.js"
import * as Handshake from "../../src/socket/dial/Handshake.js"
import type { Timers } from "../../src/socket/wire/Timers.js"

const text = (data: string): ResolvedStep => ({
  kind: "text",
  data: Buffer.from(data),
  template: parseTemplate(data)
})
const binary = (...bytes: ReadonlyArray<number>): ResolvedStep => ({ kind: "binary", data: Uint8Array.from(bytes) })
const expectFrame = (jsonPath = "", equals = "", capture: Record<string, string> = {}): ExpectStep => ({
  kind: "expect",
  jsonPath,
  equals,
  timeoutMs: 10_000,
  capture: Object.entries(capture)
})

const MAX_REPLY_BYTES = 1_000_000
const MAX_MESSAGE_BYTES = 1000

const start = (...steps: ReadonlyArray<ResolvedStep>) => {
  const sent: Array<string> = []
  const passed: Array<string> = []
  const ends: Array<string | undefined> = []
  const alarms = new Map<() => void, number>()
  let may = true
  const timers: Timers = {
    now: () => 0,
    after: (ms, f) => {
      alarms.set(f, ms)
      return () => alarms.delete(f)
    }
  }
  const handshake = Handshake.make(
    steps,
    { maxReplyBytes: MAX_REPLY_BYTES, maxMessageBytes: MAX_MESSAGE_BYTES },
    (p) => `<${p.kind} ${p.name}>`,
    {
      send: (data, isBinary) => {
        sent.push(`${isBinary ? "b" : "t"}:${Buffer.from(data).toString("latin1")}`)
        return undefined
      },
      pass: (data) => passed.push(data.toString()),
      done: (failure) => ends.push(failure),
      mayAct: () => may,
      faulted: (defect) => {
        throw defect
      }
    },
    timers
  )
  const frame = (data: string | Buffer) => handshake.frame(Buffer.from(data as string), typeof data !== "string")
  return { handshake, frame, sent, passed, ends, alarms, forbid: () => (may = false) }
}

describe("Handshake", () => {
  it("without steps it is done at once, and every frame is an ordinary one", () => {
    const h = start()
    h.handshake.start()
    expect(h.ends).toEqual([undefined])
    h.frame("a")
    expect(h.passed).toEqual(["a"])
  })

  it("fills text steps and sends binary steps as they are", () => {
    const h = start(
      text('{"t":"${secret:T}","i":"${connection:id}","e":${connection:epoch},"n":"${instance:id}","x":"${x}"}'),
      binary(0x24, 0x7b, 0x78, 0x7d, 0xff)
    )
    h.handshake.start()
    expect(h.sent).toEqual([
      't:{"t":"<secret T>","i":"<connection id>","e":<connection epoch>,"n":"<instance id>","x":"${x}"}',
      "b:${x}\xff"
    ])
    expect(h.ends).toEqual([undefined])
  })

  it("a frame that was expected goes nowhere else, all others pass in order", () => {
    const h = start(text("hello"), expectFrame("$.type", "welcome"), text("login"), expectFrame("$.type", "ok"))
    h.handshake.start()
    expect(h.sent).toEqual(["t:hello"])
    h.frame('{"type":"news","n":1}')
    h.frame("not json")
    h.frame('{"type":"welcome"}')
    expect(h.sent).toEqual(["t:hello", "t:login"])
    h.frame('{"type":"welcome","n":2}')
    expect(h.ends).toEqual([])
    h.frame('{"type":"ok"}')
    h.frame('{"type":"ok","n":3}')
    expect(h.ends).toEqual([undefined])
    expect(h.passed).toEqual(['{"type":"news","n":1}', "not json", '{"type":"welcome","n":2}', '{"type":"ok","n":3}'])
    expect(h.alarms.size).toBe(0)
  })

  it("captures go into later steps, strings by content, all else by JSON text, the empty path as the whole frame", () => {
    const capture = { token: "$.auth['to.ken']", n: "$.list[1]", o: "$.o", all: "" }
    const h = start(
      expectFrame("$.auth", "", capture),
      text("${capture:token} ${capture:n} ${capture:o} ${capture:all}")
    )
    h.handshake.start()
    const frame = '{"auth":{"to.ken":"a\\u0026\\"b"},"list":[1,12345678901234567890],"o":{ "k" : 1.0 }}'
    h.frame(frame)
    expect(h.sent).toEqual([`t:a&"b 12345678901234567890 { "k" : 1.0 } ${frame}`])
  })

  it.each([
    ["", "", "anything", true],
    ["", "ready", "ready", true],
    ["", "ready", "ready\n", false],
    ["$", "", "[]", true],
    ["$", "", "{]", false],
    ["$.a", "", '{"a":null}', true],
    ["$.a", "", '{"b":1}', false],
    ["$.a", "1", '{"a":1}', true],
    ["$.a", "1", '{"a":"1"}', true],
    ["$.a", "1", '{"a":1.0}', false],
    ["$.a", "true", '{"a":true}', true],
    ["$.a", "x y", '{"a":"x\\u0020y"}', true],
    ["$[0].a['b']", "z", '[{"a":{"b":"z"}}]', true]
  ])("path %j equals %j with frame %j: %s", (path, equals, frame, matches) => {
    expect(Handshake.match(expectFrame(path, equals), Buffer.from(frame)) !== undefined).toBe(matches)
  })

  it("a frame without what is to be captured is not the expected one", () => {
    const h = start(expectFrame("", "", { token: "$.token" }), text("${capture:token}"))
    h.handshake.start()
    h.frame('{"hello":1}')
    h.frame('{"token":"t"}')
    expect(h.passed).toEqual(['{"hello":1}'])
    expect(h.sent).toEqual(["t:t"])
  })

  it.each(["", "$.a"])(
    "a frame over the largest reply is an ordinary one where one at path %j is expected, one of just that size is not",
    (path) => {
      const h = start(expectFrame(path))
      h.handshake.start()
      const frame = (size: number) => `{"a":"${"x".repeat(size - 8)}"}`
      h.frame(frame(MAX_REPLY_BYTES + 1))
      expect([h.passed.length, h.ends]).toEqual([1, []])
      h.frame(frame(MAX_REPLY_BYTES))
      expect([h.passed.length, h.ends]).toEqual([1, [undefined]])
    }
  )

  it("a captured value that looks like a placeholder is not filled again", () => {
    const h = start(expectFrame("", "", { c: "" }), text("${capture:c}"))
    h.handshake.start()
    h.frame("${secret:T}")
    expect(h.sent).toEqual(["t:${secret:T}"])
  })

  it("binary frames can be expected, as they are", () => {
    const h = start(binary(1), expectFrame(), expectFrame("", "\u0002"))
    h.handshake.start()
    h.frame(Buffer.from([0x20, 0x02, 0x00, 0xff]))
    h.frame(Buffer.from([3]))
    h.frame(Buffer.from([2]))
    expect(h.passed).toEqual(["\u0003"])
    expect(h.ends).toEqual([undefined])
  })

  it("each expectation has its own time, and names its step when it runs out", () => {
    const h = start(expectFrame(), text("x"), expectFrame("$.ok"))
    h.handshake.start()
    h.frame("first")
    expect([...h.alarms.values()]).toEqual([10_000])
    ;[...h.alarms.keys()][0]!()
    expect(h.ends).toEqual(["step 3: no matching frame within 10000 ms"])
    h.frame('{"ok":1}')
    expect(h.passed).toEqual(['{"ok":1}'])
    expect(h.ends.length).toBe(1)
  })

  it("nothing is sent when it may not act", () => {
    const h = start(expectFrame(), text("login"))
    h.handshake.start()
    h.forbid()
    h.frame("go")
    expect(h.sent).toEqual([])
    expect(h.ends).toEqual(["step 2: this instance may not act now"])
  })

  it("after stop nothing is sent, expected or told", () => {
    const h = start(expectFrame(), text("login"))
    h.handshake.start()
    h.handshake.stop()
    h.frame("go")
    expect([h.sent, h.passed, h.ends, h.alarms.size]).toEqual([[], ["go"], [], 0])
  })
})

describe("a login whose texts could grow", () => {
  it("fails before a text that is filled in goes over max_message_bytes, whatever it is filled with", () => {
    const fits = start(expectFrame("", "", { x: "$.x" }), text("${capture:x}".repeat(10)))
    fits.handshake.start()
    fits.frame(`{"x":"${"é".repeat(50)}"}`)
    expect(fits.ends).toEqual([undefined])
    for (const value of ["x".repeat(101), `${"é".repeat(50)}.`]) {
      const over = start(expectFrame("", "", { x: "$.x" }), text("${capture:x}".repeat(10)))
      over.handshake.start()
      over.frame(`{"x":"${value}"}`)
      expect(over.ends).toEqual([`step 2: filled in it is over max_message_bytes, ${MAX_MESSAGE_BYTES}`])
      expect(over.sent).toEqual([])
    }
  })

  it.each([
    ["a string", `"${"x".repeat(FEED.CAPTURE_BYTES)}"`, `"${"x".repeat(FEED.CAPTURE_BYTES + 1)}"`],
    ["what is not Latin", `"${"é".repeat(FEED.CAPTURE_BYTES / 2)}"`, `"${"é".repeat(FEED.CAPTURE_BYTES / 2)}x"`],
    [
      "any other value, by its text",
      `[${"1".repeat(FEED.CAPTURE_BYTES - 2)}]`,
      `[${"1".repeat(FEED.CAPTURE_BYTES - 1)}]`
    ]
  ])("fails where a capture is over its limit: %s", (_, fits, over) => {
    const taken = start(expectFrame("", "", { x: "$.x" }))
    taken.handshake.start()
    taken.frame(`{"x":${fits}}`)
    expect(taken.ends).toEqual([undefined])
    const refused = start(expectFrame("", "", { x: "$.x" }))
    refused.handshake.start()
    refused.frame(`{"x":${over}}`)
    expect(refused.ends).toEqual([`step 1: capture x is over ${FEED.CAPTURE_BYTES} bytes`])
    expect(refused.passed).toEqual([])
  })
})
