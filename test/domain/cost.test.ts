/**
 * What somebody else's text costs grows with its length and no faster: each reader and each check on n and on 2n of the shapes
 * that are made to cost. A quadratic one takes four times as long for twice as much.
 */
import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import { acceptInOrder } from "../../src/domain/AcceptInOrder.js"
import * as CloudEvent from "../../src/domain/CloudEvent.js"
import { Frame } from "../../src/domain/Frame.js"
import { find, insertField, parsePath, valueText } from "../../src/domain/json/JsonPath.js"
import { readEvent } from "../../src/domain/ReadEvent.js"
import { redactUrl } from "../../src/domain/secrets/Redact.js"
import { decodeStored } from "../../src/domain/stored/ConnectionRecord.js"
import * as StoredJson from "../../src/domain/stored/StoredJson.js"
import { resolveStored } from "../../src/domain/stored/StoredSpec.js"
import { fillTemplate, parseHeaderValue, parseTemplate } from "../../src/domain/Templates.js"
import { readPageToken } from "../../src/domain/validation/PageToken.js"
import * as V from "../../src/domain/validation/Validate.js"
import { decodePayload, judge } from "../../src/rpc/RequestDecoding.js"
import { growth } from "../support/growth.js"

const URL = "ws://h/"
const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const record = (n: number, value: string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, value]))

const TIMES = 2.5

type Shape = readonly [what: string, make: (n: number) => unknown]
const text = (unit: string, head = "", tail = ""): Shape => [
  `${head}${unit}…${tail}`,
  (n) => head + unit.repeat(Math.ceil(n / unit.length)) + tail
]
/** A reader of texts on many shapes of them. */
const texts = (name: string, read: (text: string) => unknown, shapes: ReadonlyArray<Shape>, n = 100_000) =>
  shapes.map(([what, make]) => [`${name} on ${what}`, n, make, read as (input: unknown) => unknown] as const)

const PLACEHOLDERS = [text("${"), text("${secret:"), text("${secret:", "", "}"), text("${secret:a}"), text("}"), text("${connection:"), text("$")] // prettier-ignore
const JSONS = [text("["), text("{},", "[", "{}]"), text('"a":1,', "{", '"b":2}'), text("\\u0041", '{"', '":1}'), text("\\", '"'), text('\\"', '"', '"'), text(" ", "", "1"), text("1,", "[", "1]"), text("9"), text('{"a":'), text('"a":{},', "{", '"b":{}}')] // prettier-ignore
const URLS = [text("a=1;", `${URL}?`), text("token=1&", `${URL}?`), text("?", URL), text("${secret:a}", `${URL}?k=`), text("@", "ws://"), text("%41", `${URL}?`, "=1"), text("=", `${URL}?`), text("/a", URL), text("a?", `${URL}?`)] // prettier-ignore
const PATHS = [
  text("['\\\\", "$"),
  text(".a", "$"),
  text("[0]", "$"),
  text("\\'", "$['"),
  text("a", "$."),
  text("[", "$")
]

const origin = { connectionId: "c", connectionUrl: URL, instanceId: "i", epoch: 1, textContentType: "text/plain" }
const frame = (data: string, binary = false) => new Frame(origin, 1, 0, binary, Buffer.from(data))
const STORED = JSON.parse(
  '{"v":1,"id":"c","specHash":"","owner":"i","incarnation":"x","epoch":1,"nonce":"n","status":"CONNECTION_STATUS_CONNECTED","tags":{},"topic":"","createdAt":"2026-01-01T00:00:00.000Z","lastError":"","lastCloseCode":0,"last":{"epoch":1,"sequence":1}}'
) as object
const stored = (more: object) => JSON.stringify({ ...STORED, ...more })
const nested = (n: number, inside: unknown = 1): unknown => {
  let value = inside
  for (let i = 0; i < n; i++) value = { a: value }
  return value
}

const CASES: ReadonlyArray<readonly [name: string, n: number, make: (n: number) => any, run: (input: any) => unknown]> =
  [
    ...texts("templates", (t) => fillTemplate(parseTemplate(t), () => "x"), PLACEHOLDERS),
    ...texts("header templates", parseHeaderValue, [...PLACEHOLDERS, text(" ", "secret:", "a"), text("\t", "secret:")]),
    ...texts("JSON, a name looked for", (t) => find(t, ["a", "b"]), JSONS),
    ...texts("JSON, a place looked for", (t) => find(t, [0, 1]), JSONS),
    ...texts("a field put in", (t) => insertField(t, ["x"], "1"), JSONS),
    ...texts("a value's text", (t) => valueText(t, { start: 0, end: t.length }), [text("\\u0041", '"', '"')]),
    ...texts("paths", parsePath, PATHS),
    ...texts("URLs as shown", redactUrl, URLS, 20_000),
    ...texts("a URL asked for", (url) => V.resolveSpec({ url }), URLS),
    ...texts("a path asked for", (requestPath) => V.resolveCorrelation({ requestPath }), PATHS),
    ...texts("a page token", (t) => readPageToken({}, t), [text("Li4u"), text("A")]),
    ...texts("a media type", (textContentType) => V.resolvePublishing({ textContentType }), [text(";a=b", "a/b"), text(" ;", "a/b"), text("a", "a/")]), // prettier-ignore
    ...texts("a topic", (t) => V.checkTopic(t), [text("a"), text("😀"), text("\u0000")]),
    ...texts("a content type", (contentType) => V.checkSendRaw({ id: "", message: bytes(""), contentType }), [text(";"), text(" ")]), // prettier-ignore
    ["a path of n steps in n nested objects", 20_000, (n) => ["{\"a\":".repeat(400) + "1" + "}".repeat(400), Array(n).fill("a")], ([t, path]) => find(t, path)], // prettier-ignore
    ["text steps", 200_000, (n) => bytes("${secret:".repeat(n / 9)), (sendText) => V.resolveSpec({ url: URL, handshake: [{ sendText }] })], // prettier-ignore
    ["a stored text step", 200_000, (n) => bytes("${secret:".repeat(n / 9)), (sendText) => resolveStored({ url: URL, handshake: [{ sendText }] })], // prettier-ignore
    ["subprotocols", 20_000, (n) => Object.keys(record(n, "")), (subprotocols) => V.resolveSpec({ url: URL, subprotocols })], // prettier-ignore
    ["headers", 20_000, (n) => record(n, "v"), (headers) => V.resolveSpec({ url: URL, headers })],
    ["captures", 20_000, (n) => record(n, "$.a"), (capture) => V.resolveSpec({ url: URL, handshake: [{ expect: { capture } }] })], // prettier-ignore
    ["tags", 20_000, (n) => record(n, "v"), (tags) => V.checkTags(tags)],
    ["one tag", 200_000, (n) => "😀".repeat(n), (v) => V.checkTag("k", v)],
    ["filters", 20_000, (n) => Array.from({ length: n }, () => ({ key: "k", value: "v" })), (filters) => V.checkList({ filters })], // prettier-ignore
    ["ids", 20_000, (n) => Array.from({ length: n }, () => "x"), (ids) => V.checkIds(ids)],
    ["close codes", 20_000, (n) => Array.from({ length: n }, () => 4000), (retryCodes) => V.resolveReconnect({ retryCodes })], // prettier-ignore
    ["a call's payload", 5_000, (n) => ({ filters: Array.from({ length: n }, () => ({ key: "k", value: "v" })) }), (p) => decodePayload("List", p)], // prettier-ignore
    ["a call that is judged", 5_000, (n) => ({ _tag: "Request", id: "1", tag: "SetTags", payload: { id: "x", tags: record(n, "v") }, headers: [] }), judge], // prettier-ignore
    ["a call of an unknown method", 500_000, (n) => ({ _tag: "Request", id: "1", tag: "x".repeat(n), payload: {} }), judge], // prettier-ignore
    ["an event with a frame of escapes", 50_000, (n) => frame("\u0001".repeat(n)), CloudEvent.encode],
    ["the size of such an event", 200_000, (n) => frame("\u0001".repeat(n)), CloudEvent.encodedSize],
    ["an event with a binary frame", 200_000, (n) => frame("x".repeat(n), true), CloudEvent.encode],
    ["an event that is read", 50_000, (n) => CloudEvent.encode(frame('\\"\u0001'.repeat(n))), (t) => readEvent(t)],
    ["a pack of frames that is read", 5_000, (n) => JSON.stringify({ type: "websocketmanager.frames", connectionid: "c", epoch: "1", data: Array.from({ length: n }, (_, i) => ({ s: i * 2, t: 0, text: "x" })) }), (t) => acceptInOrder().accept(JSON.parse(t))], // prettier-ignore
    ["reports of gaps that are read", 2_000, (n) => n, (n: number) => { const inOrder = acceptInOrder(); for (let i = 0; i < n; i++) inOrder.accept({ type: "websocketmanager.gap", connectionid: "c", cause: "x", lastepoch: "1", lastsequence: String(i), firstepoch: "1", firstsequence: String(i + 2), lost: "1" }) }], // prettier-ignore
    ["a record with unknown fields", 5_000, (n) => stored({ spec: { url: URL }, ...record(n, "x") }), (t) => decodeStored("c", t)], // prettier-ignore
    ["a record of many tags", 5_000, (n) => stored({ spec: { url: URL }, tags: record(n, "x") }), (t) => decodeStored("c", t)], // prettier-ignore
    ["a record of many steps", 5_000, (n) => stored({ spec: { url: URL, handshake: Array.from({ length: n }, () => ({ sendText: "YQ==" })) } }), (t) => decodeStored("c", t)], // prettier-ignore
    ["a record whose spec is shown", 100_000, (n) => ({ url: `${URL}?${"a=1;".repeat(n / 4)}` }), resolveStored],
    ["unknown fields inside each other", 500, (n) => nested(n), (value) => StoredJson.merged(StoredJson.beyond(value, {}), value)] // prettier-ignore
  ]

describe("what a text costs grows with its length, and no faster", () => {
  it.each(CASES)("%s", (_, n, make, run) => {
    const [small, large] = [make(n), make(2 * n)]
    expect(
      growth(
        () => run(small),
        () => run(large),
        TIMES
      )
    ).toBeLessThan(TIMES)
  })

  it("a check that costs the square of its text is seen", () => {
    const square = (text: string) => /(?:\$\{[^}]*){1}\}/.test(text)
    expect(
      growth(
        () => square("${".repeat(1000)),
        () => square("${".repeat(2000)),
        TIMES
      )
    ).toBeGreaterThan(TIMES)
  })

  it("a spec that is within all limits is resolved", () => {
    expect(Either.isRight(V.resolveSpec({ url: URL, subprotocols: ["a"], headers: record(64, "v") }))).toBe(true)
  })
})
