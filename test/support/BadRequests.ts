/** Requests that must be refused as InvalidRequest, as data: run against the pure validation and over every door. */

export type RequestKind =
  | "connect"
  | "disconnect"
  | "reconnect"
  | "get"
  | "list"
  | "startPublish"
  | "subscribe"
  | "send"
  | "sendRaw"
  | "setTag"
  | "setTags"
  | "deleteTag"
  | "watch"
  | "migrate"
  | "drain"
  | "rebalance"

export interface BadRequest {
  readonly name: string
  readonly kind: RequestKind
  readonly request: Readonly<Record<string, unknown>>
  /** the field that InvalidRequest names */
  readonly field: string
  /** false: protobuf cannot carry it (half a surrogate pair, a negative uint32), so gRPC need not be asked */
  readonly protobuf?: false
}

/** A well-formed id. Over a door, put the id of an open connection in its place. */
export const SOME_ID = "0195d7f2-6c1e-7b3a-9a54-3f1f6a2b7c10"

const KIB = 1024
const MIB = 1024 * KIB
const HOUR = 3_600_000
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const NOT_UTF8 = new Uint8Array([0x68, 0xc3, 0x28])
const many = (n: number, value = "v"): Record<string, string> =>
  Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, value]))
const filters = (n: number) => Array.from({ length: n }, (_, i) => ({ key: `k${i}`, value: "v" }))

const connect = (name: string, field: string, part: Record<string, unknown>, protobuf?: false): BadRequest => ({
  name,
  kind: "connect",
  request: { url: "ws://127.0.0.1:1/feed", awaitOpen: false, ...part },
  field,
  ...(protobuf === undefined ? {} : { protobuf })
})
const url = (name: string, url: string): BadRequest => connect(name, "url", { url })
const header = (name: string, header: string, value: string, field = `headers.${header}`): BadRequest =>
  connect(name, field, { headers: { [header]: value } })
const steps = (name: string, field: string, ...handshake: ReadonlyArray<unknown>): BadRequest =>
  connect(name, field, { handshake })
const on = (kind: RequestKind, name: string, field: string, part: Record<string, unknown> = {}): BadRequest => ({
  name,
  kind,
  request: { id: SOME_ID, ...part },
  field
})

export const BAD_REQUESTS: ReadonlyArray<BadRequest> = [
  // the URL
  url("no URL", ""),
  url("an http URL", "http://127.0.0.1/"),
  url("a scheme that does not exist", "wsss://127.0.0.1/"),
  url("a URL without a scheme", "127.0.0.1:80/feed"),
  url("a scheme without slashes", "ws:127.0.0.1/feed"),
  url("a file URL", "file:///etc/passwd"),
  url("a URL without a host", "ws:///feed"),
  url("a port that is no number", "ws://127.0.0.1:port/"),
  url("a port over 65535", "ws://127.0.0.1:65536/"),
  url("a URL with a fragment", "ws://127.0.0.1/feed#part"),
  url("a URL with an empty fragment", "ws://127.0.0.1/feed#"),
  url("a line break in the URL", "ws://127.0.0.1/feed\r\nX-Evil: 1"),
  url("a space in the URL", "ws://127.0.0.1/a feed"),
  url("a backslash in the URL", "ws://127.0.0.1\\@10.0.0.1/"),
  url("a URL over 8 KiB", `ws://127.0.0.1/${"a".repeat(8192)}`),
  url("a placeholder as host", "ws://${secret:HOST}/feed"),
  url("a placeholder as port", "ws://127.0.0.1:${secret:PORT}/feed"),
  url("a secret outside its directory in the URL", "ws://127.0.0.1/?token=${secret:../x}"),
  url("a secret without a name in the URL", "ws://127.0.0.1/?token=${secret:}"),
  url("a capture in the URL", "ws://127.0.0.1/?token=${capture:token}"),
  connect("half a surrogate pair in the URL", "url", { url: "ws://127.0.0.1/\ud800" }, false),
  // headers
  header("the header Host", "Host", "example.com"),
  header("the header connection in lower case", "connection", "close"),
  header("the header Upgrade", "Upgrade", "h2c"),
  header("the header Content-Length", "Content-Length", "5"),
  header("the header Transfer-Encoding", "Transfer-Encoding", "chunked"),
  header("the header Sec-WebSocket-Key", "Sec-WebSocket-Key", "x"),
  header("the header sec-websocket-protocol", "sec-websocket-protocol", "mqtt"),
  header("the header Trailer", "Trailer", "Expires"),
  header("a header name with a space", "X Y", "1"),
  header("a header name with a line break", "X\r\nY", "1", "headers.X\ufffd\ufffdY"),
  header("a header without a name", "", "1", "headers."),
  header("a line break in a header's value", "X-A", "1\r\nX-Evil: 2"),
  header("a NUL in a header's value", "X-A", "a\u0000b"),
  header("a header's value outside ISO 8859-1", "X-A", "日本"),
  header("a header that is a secret outside its directory", "Authorization", "secret:../x"),
  header("a header that is a hidden file", "Authorization", "secret:.hidden"),
  header("a secret with a bad name inside a header", "Authorization", "Bearer ${secret:a b}"),
  header("a capture in a header", "X-A", "${capture:token}"),
  connect("one header in two spellings", "headers.x-a", { headers: { "X-A": "1", "x-a": "2" } }),
  connect("over 64 headers", "headers", { headers: many(65) }),
  connect("over 32 KiB of headers", "headers", { headers: many(33, "v".repeat(1000)) }),
  // subprotocols
  connect("an empty subprotocol", "subprotocols[0]", { subprotocols: [""] }),
  connect("a subprotocol with a comma", "subprotocols[0]", { subprotocols: ["mqtt,stomp"] }),
  connect("a subprotocol with a space", "subprotocols[1]", { subprotocols: ["mqtt", "v 2"] }),
  connect("a subprotocol given twice", "subprotocols[1]", { subprotocols: ["mqtt", "mqtt"] }),
  connect("a secret with a bad name in a subprotocol", "subprotocols[0]", { subprotocols: ["${secret:../x}"] }),
  // handshake
  steps("a step of no kind", "handshake[0]", {}),
  steps("a step that expects a bad JSON path", "handshake[1].expect.jsonPath", { sendText: bytes("a") }, { expect: { jsonPath: "type" } }), // prettier-ignore
  steps("a JSON path with a wildcard", "handshake[0].expect.jsonPath", { expect: { jsonPath: "$.a[*]" } }),
  steps("a JSON path with a filter", "handshake[0].expect.jsonPath", { expect: { jsonPath: "$..a" } }),
  steps("a capture with a bad JSON path", "handshake[0].expect.capture.token", { expect: { capture: { token: "$." } } }), // prettier-ignore
  steps("a capture with a bad name", "handshake[0].expect.capture.a b", { expect: { capture: { "a b": "$.a" } } }),
  steps("a capture that no step sets", "handshake[0].sendText", { sendText: bytes("${capture:token}") }),
  steps(
    "a capture that a later step sets",
    "handshake[0].sendText",
    { sendText: bytes("${capture:token}") },
    { expect: { capture: { token: "$.token" } } }
  ),
  steps("a text step that is not UTF-8", "handshake[0].sendText", { sendText: NOT_UTF8 }),
  steps("a secret with a bad name in a step", "handshake[0].sendText", { sendText: bytes("${secret:../x}") }),
  connect("over 64 handshake steps", "handshake", {
    handshake: Array.from({ length: 65 }, () => ({ sendText: bytes("a") }))
  }),
  // policies
  connect("a ping that is not UTF-8", "keepAlive.pingMessage", { keepAlive: { pingMessage: NOT_UTF8 } }),
  connect("a text ping and a binary ping", "keepAlive.pingBinary", {
    keepAlive: { pingMessage: bytes("a"), pingBinary: bytes("b") }
  }),
  connect("a secret with a bad name in a ping", "keepAlive.pingMessage", {
    keepAlive: { pingMessage: bytes("${secret:../x}") }
  }),
  connect("a capture in a ping", "keepAlive.pingMessage", {
    handshake: [{ expect: { capture: { x: "$.x" } } }],
    keepAlive: { pingMessage: bytes("${capture:x}") }
  }),
  // over the limits
  connect("17 subprotocols", "subprotocols", { subprotocols: Object.keys(many(17)) }),
  connect("a subprotocol over 256 characters", "subprotocols[1]", { subprotocols: ["a", "s".repeat(257)] }),
  steps("a text step over 64 KiB", "handshake[1].sendText", { sendBinary: bytes("a") }, { sendText: bytes("a".repeat(64 * KIB + 1)) }), // prettier-ignore
  steps("a path over 256 characters", "handshake[0].expect.jsonPath", { expect: { jsonPath: `$.${"a".repeat(255)}` } }),
  steps("a capture with a path over 32 steps", "handshake[0].expect.capture.x", { expect: { capture: { x: `$${"[0]".repeat(33)}` } } }), // prettier-ignore
  steps("17 captures in a step", "handshake[0].expect.capture", { expect: { capture: many(17, "$.a") } }),
  steps("17 captures in two steps", "handshake[1].expect.capture", { expect: { capture: many(9, "$.a") } }, { expect: { capture: many(8, "$.b") } }), // prettier-ignore
  connect("a ping over 64 KiB", "keepAlive.pingMessage", { keepAlive: { pingMessage: bytes("a".repeat(64 * KIB + 1)) } }), // prettier-ignore
  connect("a binary ping over 64 KiB", "keepAlive.pingBinary", { keepAlive: { pingBinary: new Uint8Array(64 * KIB + 1) } }), // prettier-ignore
  connect("a request path over 32 steps", "correlation.requestPath", { correlation: { requestPath: `$${".a".repeat(33)}` } }), // prettier-ignore
  connect("4,001 close codes", "reconnect.retryCodes", { reconnect: { retryCodes: Array.from({ length: 4001 }, () => 4000) } }), // prettier-ignore
  connect("a ping interval below 100 ms", "keepAlive.pingIntervalMs", { keepAlive: { pingIntervalMs: 99 } }),
  connect("a ping interval over an hour", "keepAlive.pingIntervalMs", { keepAlive: { pingIntervalMs: HOUR + 1 } }),
  connect("dead after over an hour", "keepAlive.deadAfterMs", { keepAlive: { deadAfterMs: HOUR + 1 } }),
  connect("idle after over a week", "keepAlive.idleAfterMs", { keepAlive: { idleAfterMs: 168 * HOUR + 1 } }),
  connect("a dial time-out over an hour", "reconnect.dialTimeoutMs", { reconnect: { dialTimeoutMs: HOUR + 1 } }),
  connect("a delay over a week", "reconnect.maxDelayMs", { reconnect: { maxDelayMs: 168 * HOUR + 1 } }),
  connect("stable after the longest time", "reconnect.stableAfterMs", { reconnect: { stableAfterMs: 2 ** 32 - 1 } }),
  connect("a linger over an hour", "publishing.lingerMs", { publishing: { lingerMs: HOUR + 1 } }),
  steps("a step that waits over an hour", "handshake[0].expect.timeoutMs", { expect: { timeoutMs: HOUR + 1 } }),
  on("send", "a time-out over an hour", "timeoutMs", { message: bytes("{}"), timeoutMs: HOUR + 1 }),
  on("send", "a reply path over 256 characters", "correlation.replyPath", {
    message: bytes("{}"),
    correlation: { replyPath: `$['${"a".repeat(256)}']` }
  }),
  { kind: "drain", name: "a drain over an hour", field: "timeoutMs", request: { timeoutMs: HOUR + 1 } },
  { kind: "list", name: "51 filters", field: "filters", request: { filters: filters(51) } },
  { kind: "watch", name: "51 filters to watch", field: "filters", request: { filters: filters(51) } },
  { kind: "watch", name: "1,001 ids", field: "ids", request: { ids: Array.from({ length: 1001 }, () => SOME_ID) } },
  { kind: "list", name: "a page token of a mebibyte", field: "pageToken", request: { pageToken: "Li4u".repeat(MIB / 4) } }, // prettier-ignore
  // text that may come to stand in a header
  on("sendRaw", "a content type with a line break", "contentType", { message: bytes("a"), contentType: "text/plain\r\nX-Evil: 1" }), // prettier-ignore
  on("sendRaw", "a content type with a NUL", "contentType", { message: bytes("a"), contentType: "image/png\u0000" }),
  on("sendRaw", "a content type with a control character of ISO 8859-1", "contentType", { message: bytes("a"), contentType: "a/\u0085" }), // prettier-ignore
  on("sendRaw", "a content type over 256 characters", "contentType", { message: bytes("a"), contentType: `a/${"b".repeat(255)}` }), // prettier-ignore
  on("send", "a content type with an escape character", "contentType", { message: bytes("{}"), contentType: "text/plain\u001b[0m" }), // prettier-ignore
  connect("a topic with a control character of ISO 8859-1", "topic", { topic: "a\u009b" }),
  // names that MessagePack decoders change
  connect("a tag that not every door can carry", "tags.__proto_", { tags: { __proto_: "v" } }),
  on("setTag", "a key that not every door can carry", "key", { key: "__proto__", value: "v" }),
  on("setTags", "a tag that not every door can carry among others", "tags.__proto_", { tags: { a: "b", __proto_: "v" } }), // prettier-ignore
  header("a header that not every door can carry", "__proto_", "v"),
  steps("a capture that not every door can carry", "handshake[0].expect.capture.__proto_", { expect: { capture: { __proto_: "$.a" } } }), // prettier-ignore
  connect("a negative interval", "keepAlive.pingIntervalMs", { keepAlive: { pingIntervalMs: -1 } }, false),
  connect("an interval with a fraction", "keepAlive.deadAfterMs", { keepAlive: { deadAfterMs: 1.5 } }, false),
  connect("a time over 2^32-1", "reconnect.dialTimeoutMs", { reconnect: { dialTimeoutMs: 2 ** 32 } }, false),
  connect("a factor below 1", "reconnect.factor", { reconnect: { factor: 0.5 } }),
  connect("a negative factor", "reconnect.factor", { reconnect: { factor: -2 } }),
  connect("a factor that is infinite", "reconnect.factor", { reconnect: { factor: Infinity } }),
  connect("a factor that is no number", "reconnect.factor", { reconnect: { factor: Number.NaN } }),
  connect("a base delay above the maximum", "reconnect.baseDelayMs", {
    reconnect: { baseDelayMs: 2000, maxDelayMs: 1000 }
  }),
  connect("a base delay above the default maximum", "reconnect.baseDelayMs", { reconnect: { baseDelayMs: 30_001 } }),
  connect("a close code to give up on below 1000", "reconnect.giveUpCodes[1]", {
    reconnect: { giveUpCodes: [1000, 999] }
  }),
  connect("a close code to retry over 4999", "reconnect.retryCodes[0]", { reconnect: { retryCodes: [5000] } }),
  connect("a close code in both lists", "reconnect.retryCodes", {
    reconnect: { giveUpCodes: [4000], retryCodes: [4000] }
  }),
  connect("a leave code that an endpoint may not send", "reconnect.leaveCode", { reconnect: { leaveCode: 1001 } }),
  connect("a leave code over 4999", "reconnect.leaveCode", { reconnect: { leaveCode: 5000 } }),
  connect("a message limit over 16 MiB", "maxMessageBytes", { maxMessageBytes: 16 * MIB + 1 }),
  connect("a reply limit over 16 MiB", "maxReplyBytes", { maxReplyBytes: 16 * MIB + 1 }),
  connect("a reply limit above the message limit", "maxReplyBytes", { maxMessageBytes: 1000, maxReplyBytes: 1001 }),
  connect("a request path that is no JSON path", "correlation.requestPath", { correlation: { requestPath: "id" } }),
  connect("a request path that is the whole message", "correlation.requestPath", { correlation: { requestPath: "$" } }),
  connect("a reply path that is no JSON path", "correlation.replyPath", { correlation: { replyPath: "$['id]" } }),
  connect("a content type that is none", "publishing.textContentType", { publishing: { textContentType: "json" } }),
  connect("a line break in a content type", "publishing.textContentType", {
    publishing: { textContentType: "text/plain\r\nx: y" }
  }),
  // tags, topic, request id
  connect("51 tags", "tags", { tags: many(51) }),
  connect("a tag without a key", "tags", { tags: { "": "v" } }),
  connect("a tag's key over 128 characters", `tags.${"k".repeat(63)}…`, { tags: { ["k".repeat(129)]: "v" } }),
  connect("a tag's value over 1024 characters", "tags.k", { tags: { k: "v".repeat(1025) } }),
  connect("half a surrogate pair in a tag", "tags.k", { tags: { k: "\udc00" } }, false),
  connect("a topic over 256 characters", "topic", { topic: "t".repeat(257) }),
  connect("a line break in a topic", "topic", { topic: "a\nb" }),
  connect("a request id over 256 characters", "requestId", { requestId: "r".repeat(257) }),
  // other operations
  on("get", "no id", "id", { id: "" }),
  on("get", "an id that is no UUID", "id", { id: "conn-1" }),
  on("get", "an id in braces", "id", { id: `{${SOME_ID}}` }),
  on("reconnect", "an id that is a path", "id", { id: "../instances/_index" }),
  on("deleteTag", "a tag without a key to delete", "key", { key: "" }),
  on("disconnect", "a close code that is reserved", "code", { code: 1006 }),
  on("disconnect", "a close code over 4999", "code", { code: 5000 }),
  on("disconnect", "a close code that only a server sends", "code", { code: 1001 }),
  on("disconnect", "a reason over 123 bytes", "reason", { code: 1000, reason: "ü".repeat(62) }),
  on("startPublish", "an empty topic to publish on", "topic", { topic: "" }),
  on("startPublish", "a topic to publish on over 256 characters", "topic", { topic: "t".repeat(257) }),
  on("startPublish", "a content type that is none to publish with", "publishing.textContentType", {
    topic: "t",
    publishing: { textContentType: "/" }
  }),
  { kind: "subscribe", name: "a subscription to no topic", field: "topic", request: { topic: "" } },
  { kind: "subscribe", name: "a topic with a NUL", field: "topic", request: { topic: "a\u0000" } },
  on("send", "an empty message", "message", { message: new Uint8Array() }),
  on("send", "a message over 16 MiB", "message", { message: new Uint8Array(16 * MIB + 1) }),
  on("send", "a text message that is not UTF-8", "message", { message: NOT_UTF8 }),
  on("send", "a message that is not UTF-8 as application/json", "message", {
    message: NOT_UTF8,
    contentType: "application/json; charset=utf-8"
  }),
  on("send", "a correlation with a bad path", "correlation.replyPath", {
    message: bytes("{}"),
    correlation: { replyPath: "$.*" }
  }),
  on("sendRaw", "a raw message over 16 MiB", "message", { message: new Uint8Array(16 * MIB + 1) }),
  on("sendRaw", "a raw text message that is not UTF-8", "message", { message: NOT_UTF8, contentType: "text/plain" }),
  on("setTag", "a tag without a key to set", "key", { key: "", value: "v" }),
  on("setTag", "a key over 128 characters", "key", { key: "k".repeat(129), value: "v" }),
  on("setTag", "a value over 1024 characters", "value", { key: "k", value: "v".repeat(1025) }),
  on("setTags", "51 tags to set", "tags", { tags: many(51) }),
  {
    kind: "list",
    name: "an empty filter key",
    field: "filters[0].key",
    request: { filters: [{ key: "", value: "v" }] }
  },
  { kind: "list", name: "a page token that is garbage", field: "pageToken", request: { pageToken: "garbage" } },
  {
    kind: "list",
    name: "a page token of another query",
    field: "pageToken",
    request: { topic: "t", pageToken: Buffer.from(`1.AAAAAAAAAAAAAAAA.${SOME_ID}`).toString("base64url") }
  },
  { kind: "list", name: "a negative page size", field: "pageSize", request: { pageSize: -1 }, protobuf: false },
  { kind: "watch", name: "an id to watch that is no UUID", field: "ids[0]", request: { ids: ["all"] } },
  { kind: "watch", name: "an empty filter key to watch", field: "filters[0].key", request: { filters: [{ key: "", value: "" }] } }, // prettier-ignore
  on("migrate", "an id to move that is no UUID", "id", { id: "x" }),
  on("migrate", "a target over 128 characters", "targetInstanceId", { targetInstanceId: "i".repeat(129) }),
  {
    kind: "drain",
    name: "a drain of half a millisecond",
    field: "timeoutMs",
    request: { timeoutMs: 0.5 },
    protobuf: false
  },
  {
    kind: "rebalance",
    name: "a negative number of moves",
    field: "maxMoves",
    request: { maxMoves: -1 },
    protobuf: false
  }
]
