import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import { CALLER } from "../../src/domain/Limits.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { specHash } from "../../src/domain/stored/SpecHash.js"
import * as V from "../../src/domain/validation/Validate.js"
import { BAD_REQUESTS, type RequestKind, SOME_ID } from "../support/BadRequests.js"

const CHECKS: Record<RequestKind, (request: any) => Either.Either<unknown, { field: string; reason: string }>> = {
  connect: V.checkConnect,
  get: (r) => V.checkId(r.id),
  reconnect: (r) => V.checkId(r.id),
  disconnect: (r) => Either.all([V.checkId(r.id), V.checkClose(r.code, r.reason)]),
  list: V.checkList,
  startPublish: (r) => Either.all([V.checkId(r.id), V.checkTopic(r.topic), V.resolvePublishing(r.publishing)]),
  subscribe: (r) => V.checkTopic(r.topic),
  send: (r) => V.checkSend(r),
  sendRaw: V.checkSendRaw,
  setTag: (r) => V.checkTag(r.key, r.value),
  setTags: (r) => V.checkTags(r.tags),
  deleteTag: (r) => V.checkTagKey(r.key),
  watch: (r) => Either.all([V.checkIds(r.ids), V.checkFilters(r.filters)]),
  migrate: V.checkMigrate,
  drain: V.checkDrain,
  rebalance: V.checkRebalance
}

const URL = "ws://127.0.0.1:1/feed"
const resolve = (part: Partial<ConnectRequest>) => Either.getOrThrow(V.resolveSpec({ url: URL, ...part }))
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe("bad requests", () => {
  it("are at least sixty, each with its own name", () => {
    expect(BAD_REQUESTS.length).toBeGreaterThanOrEqual(60)
    expect(new Set(BAD_REQUESTS.map((bad) => bad.name)).size).toBe(BAD_REQUESTS.length)
  })

  it.each(BAD_REQUESTS)("$kind: $name is refused, naming $field", ({ field, kind, request }) => {
    const checked = CHECKS[kind](request)
    expect(Either.isLeft(checked) ? checked.left.field : "accepted").toBe(field)
    expect(Either.isLeft(checked) && checked.left.reason).toMatch(/^[^\p{Cc}]+$/u)
  })
})

describe("a spec with nothing but a URL", () => {
  it("has every default of the proto", () => {
    expect(resolve({})).toEqual({
      url: URL,
      shownUrl: URL,
      hostPort: "127.0.0.1:1",
      templates: { url: [{ kind: "literal", literal: URL }], headers: [], subprotocols: [], ping: undefined },
      autoReconnect: true,
      headers: [],
      subprotocols: [],
      handshake: [],
      keepAlive: { pingIntervalMs: 20_000, deadAfterMs: 60_000, idleAfterMs: Infinity, ping: undefined },
      reconnect: {
        baseDelayMs: 1000,
        maxDelayMs: 30_000,
        factor: 2,
        maxAttempts: Infinity,
        stableAfterMs: 10_000,
        dialTimeoutMs: 10_000,
        giveUpCodes: new Set(),
        retryCodes: new Set()
      },
      buffer: { maxFrames: 4096, maxBytes: 8 * 1024 * 1024, overflow: "pause" },
      correlation: { mode: "json-field", requestPath: "$.id", replyPath: "$.id" },
      onLeaseLoss: undefined,
      makeBeforeBreak: false,
      maxMessageBytes: 16 * 1024 * 1024,
      publishing: { packed: false, maxFrames: 256, maxBytes: 256 * 1024, lingerMs: 5, textContentType: "text/plain" },
      compression: false,
      maxReplyBytes: 1024 * 1024
    })
  })

  it("is the same when every default is given, as 0, as unspecified, or as it is", () => {
    const zero: Partial<ConnectRequest> = {
      autoReconnect: true,
      headers: {},
      subprotocols: [],
      handshake: [],
      keepAlive: {
        pingIntervalMs: 0,
        deadAfterMs: 0,
        idleAfterMs: 0,
        pingMessage: new Uint8Array(),
        disablePing: false
      },
      reconnect: { baseDelayMs: 0, maxDelayMs: 30_000, factor: 0, maxAttempts: 0, giveUpCodes: [] },
      buffer: { maxFrames: 4096, overflow: "OVERFLOW_UNSPECIFIED" },
      correlation: { mode: "CORRELATION_MODE_UNSPECIFIED", requestPath: "", replyPath: "$.id" },
      onLeaseLoss: "LEASE_LOSS_UNSPECIFIED",
      handover: "HANDOVER_BREAK_BEFORE_MAKE",
      maxMessageBytes: 16 * 1024 * 1024,
      publishing: { packing: "PACKING_SINGLE", maxFrames: 0, textContentType: "" },
      compression: false
    }
    expect(resolve(zero)).toEqual(resolve({}))
  })
})

describe("what is accepted", () => {
  it.each([
    "ws://h/",
    "wss://h",
    "WSS://Example.COM:8443/a?b=c",
    "ws://[::1]:9001/",
    "wss://user:pass@h/",
    "wss://u:${secret:vault/pw}@h/${connection:id}/x?token=${secret:T}&n=${connection:epoch}&i=${instance:id}",
    "ws://münchen.example/ä"
  ])("the URL %s", (url) => {
    expect(Either.isRight(V.resolveSpec({ url }))).toBe(true)
  })

  it("a URL of 8 KiB", () => {
    expect(Either.isRight(V.resolveSpec({ url: `ws://h/${"a".repeat(8192 - 7)}` }))).toBe(true)
  })

  it.each([
    ["wss://Example.COM/x", "example.com:443"],
    ["ws://h/", "h:80"],
    ["ws://[::1]/", "[::1]:80"],
    ["wss://u:${secret:a/b}@h:99/", "h:99"]
  ])("the dial budget of %s is that of %s", (url, hostPort) => {
    expect(resolve({ url }).hostPort).toBe(hostPort)
  })

  it("headers with tabs, ISO 8859-1, references, and a name of every token character", () => {
    const headers = { "X-A": "a\tb", "X-B": "ü", Authorization: "secret:db.token", "X-C": "Bearer ${secret:a/b}", "a!#$%&'*+.^_`|~": "" } // prettier-ignore
    expect(resolve({ headers }).headers).toEqual(Object.entries(headers))
  })

  it("64 headers, 64 steps, 50 tags, a topic of 256 and a request id of 256 characters", () => {
    const record = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, "v"]))
    const request = {
      url: URL,
      headers: record(64),
      handshake: Array.from({ length: 64 }, () => ({ sendText: bytes("a") })),
      tags: { ...record(48), ["k".repeat(128)]: "v".repeat(1024), ["😀".repeat(128)]: "😀".repeat(1024) },
      topic: "😀".repeat(256),
      requestId: "r".repeat(256)
    }
    expect(Either.isRight(V.checkConnect(request))).toBe(true)
  })

  it("a capture that an earlier step sets, and a ping of its own beside no protocol ping", () => {
    const login = bytes('{"token":"${capture:token}"}')
    const spec = resolve({
      handshake: [
        { expect: { jsonPath: "$.type", equals: "hi", capture: { token: "$['a'][0].b" } } },
        { sendText: login }
      ],
      keepAlive: { pingMessage: bytes("${secret:PING}"), disablePing: true, pingIntervalMs: 500 }
    })
    expect(spec.handshake).toEqual([
      { kind: "expect", jsonPath: "$.type", equals: "hi", timeoutMs: 10_000, capture: [["token", "$['a'][0].b"]] },
      { kind: "text", data: login, template: expect.arrayContaining([{ kind: "capture", name: "token" }]) }
    ])
    expect(spec.keepAlive).toEqual({
      pingIntervalMs: Infinity,
      deadAfterMs: 1500,
      idleAfterMs: Infinity,
      ping: { data: bytes("${secret:PING}"), binary: false, intervalMs: 500 }
    })
  })

  it("the longest time wherever a time is asked, and the shortest interval of pings", () => {
    const { DEAD_AFTER_MS, DELAY_MS, PING_INTERVAL_MS, TIMEOUT_MS } = CALLER
    const spec = resolve({
      keepAlive: { pingIntervalMs: TIMEOUT_MS, deadAfterMs: DEAD_AFTER_MS, idleAfterMs: DELAY_MS },
      reconnect: { baseDelayMs: DELAY_MS, maxDelayMs: DELAY_MS, stableAfterMs: DELAY_MS, dialTimeoutMs: TIMEOUT_MS },
      publishing: { lingerMs: TIMEOUT_MS }
    })
    expect(spec.reconnect.dialTimeoutMs).toBe(TIMEOUT_MS)
    expect(Either.getOrThrow(V.checkTimeout(TIMEOUT_MS, 10_000))).toBe(TIMEOUT_MS)
    const quick = resolve({ keepAlive: { pingIntervalMs: PING_INTERVAL_MS, deadAfterMs: 1 } })
    expect([quick.keepAlive.pingIntervalMs, quick.keepAlive.deadAfterMs]).toEqual([PING_INTERVAL_MS, 1])
  })

  it("as many of each, and as much, as the limits say", () => {
    const keys = (n: number, value: string) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, value]))
    const request: Partial<ConnectRequest> = {
      subprotocols: ["s".repeat(CALLER.SUBPROTOCOL_CHARS), ...Object.keys(keys(CALLER.SUBPROTOCOLS - 1, ""))],
      handshake: [
        { expect: { jsonPath: `$.${"a".repeat(CALLER.PATH_CHARS - 2)}`, capture: keys(CALLER.CAPTURES - 1, "$.a") } },
        { expect: { capture: { last: `$${"[0]".repeat(CALLER.PATH_STEPS)}` } } },
        { sendText: new Uint8Array(CALLER.TEXT_STEP_BYTES) }
      ],
      keepAlive: { pingMessage: new Uint8Array(CALLER.TEXT_STEP_BYTES) },
      reconnect: { retryCodes: Array.from({ length: CALLER.CLOSE_CODES }, (_, i) => 1000 + i) }
    }
    expect(resolve(request).reconnect.retryCodes.size).toBe(CALLER.CLOSE_CODES)
    const filters = Array.from({ length: CALLER.FILTERS }, () => ({ key: "k", value: "v".repeat(1024) }))
    expect(Either.isRight(V.checkFilters(filters))).toBe(true)
    expect(Either.isRight(V.checkIds(Array.from({ length: CALLER.IDS }, () => SOME_ID)))).toBe(true)
  })

  it("no ping at all: nothing is ever called dead, unless asked for", () => {
    expect(resolve({ keepAlive: { disablePing: true } }).keepAlive.deadAfterMs).toBe(Infinity)
    expect(resolve({ keepAlive: { disablePing: true, deadAfterMs: 5 } }).keepAlive.deadAfterMs).toBe(5)
  })
})

describe("ids, closes, messages, pages", () => {
  it("an id of any version and case is one id", () => {
    expect(Either.getOrThrow(V.checkId(SOME_ID.toUpperCase()))).toBe(SOME_ID)
  })

  it.each([
    [undefined, 1000],
    [0, 1000],
    [1000, 1000],
    [3000, 3000],
    [4999, 4999]
  ])("close code %s is sent as %s", (asked, sent) => {
    expect(Either.getOrThrow(V.checkClose(asked, "x".repeat(123))).code).toBe(sent)
  })

  it.each([
    [undefined, false],
    ["", false],
    ["text/csv", false],
    ["TEXT/plain; charset=utf-8", false],
    ["application/json", false],
    ["application/octet-stream", true],
    ["application/x-json", true],
    ["garbage", true]
  ])("content type %s is a binary frame: %s", (contentType, binary) => {
    const message = new Uint8Array()
    expect(Either.getOrThrow(V.checkSendRaw({ id: SOME_ID, message, ...(contentType === undefined ? {} : { contentType }) })).binary).toBe(binary) // prettier-ignore
  })

  it("an empty Send is for mode NEXT alone, PREFIX is always binary, and bytes need not be UTF-8 there", () => {
    const next = { mode: "CORRELATION_MODE_NEXT" } as const
    const prefix = { mode: "CORRELATION_MODE_PREFIX" } as const
    expect(Either.isRight(V.checkSend({ id: SOME_ID, message: new Uint8Array(), correlation: next }))).toBe(true)
    expect(Either.isLeft(V.checkSend({ id: SOME_ID, message: new Uint8Array(), correlation: prefix }))).toBe(true)
    const sent = V.checkSend({ id: SOME_ID, message: new Uint8Array([255]), correlation: prefix })
    expect(Either.getOrThrow(sent)).toMatchObject({ binary: true, timeoutMs: 10_000 })
  })

  it("a correlation of the Send replaces the connection's as a whole; without one the connection's holds", () => {
    const base = { mode: "json-field", requestPath: "$.a", replyPath: "$.b" } as const
    expect(Either.getOrThrow(V.resolveCorrelation(undefined, base))).toBe(base)
    expect(Either.getOrThrow(V.resolveCorrelation({ requestPath: "$.c" }, base))).toEqual({
      mode: "json-field",
      requestPath: "$.c",
      replyPath: "$.c"
    })
  })

  it("a page token continues its own query, whatever the page size and the order of filters", () => {
    const a = { key: "a", value: "1" }
    const b = { key: "b", value: "2" }
    const first = Either.getOrThrow(V.checkList({ filters: [a, b], pageSize: 5000, urlPrefix: "wss://" }))
    expect([first.pageSize, first.after]).toEqual([1000, undefined])
    const pageToken = first.nextPageToken(SOME_ID)
    const second = V.checkList({ filters: [b, a], pageSize: 1, urlPrefix: "wss://", pageToken })
    expect(Either.getOrThrow(second).after).toBe(SOME_ID)
    for (const other of [{ pageToken }, { filters: [a], urlPrefix: "wss://", pageToken }]) {
      expect(Either.isLeft(V.checkList(other))).toBe(true)
    }
    expect(Either.isLeft(V.checkList({ filters: [a, b], urlPrefix: "wss://", pageToken: `${pageToken}A` }))).toBe(true)
  })
})

describe("the hash of a spec", () => {
  const hash = (part: Partial<ConnectRequest>) => specHash(Either.getOrThrow(V.checkConnect({ url: URL, ...part })))

  it("does not see defaults, request_id, await_open, or the order of headers and tags", () => {
    const same: ReadonlyArray<Partial<ConnectRequest>> = [
      { requestId: "r" },
      { awaitOpen: false },
      { autoReconnect: true, topic: "", tags: {} },
      { reconnect: { factor: 2, maxAttempts: 0 } },
      { keepAlive: { pingIntervalMs: 20_000, deadAfterMs: 60_000 } }
    ]
    for (const part of same) expect(hash(part)).toBe(hash({}))
    expect(hash({ headers: { a: "1", b: "2" }, tags: { x: "1", y: "2" } })).toBe(
      hash({ headers: { b: "2", a: "1" }, tags: { y: "2", x: "1" } })
    )
  })

  it("sees everything else", () => {
    const different: ReadonlyArray<Partial<ConnectRequest>> = [
      {},
      { url: `${URL}2` },
      { topic: "t" },
      { tags: { a: "1" } },
      { autoReconnect: false },
      { headers: { a: "1" } },
      { subprotocols: ["a", "b"] },
      { subprotocols: ["b", "a"] },
      { handshake: [{ sendText: bytes("a") }] },
      { handshake: [{ sendBinary: bytes("a") }] },
      { handshake: [{ expect: {} }] },
      { keepAlive: { pingIntervalMs: 100 } },
      { keepAlive: { disablePing: true } },
      { keepAlive: { pingMessage: bytes("a") } },
      { keepAlive: { pingBinary: bytes("a") } },
      { reconnect: { maxAttempts: 1 } },
      { reconnect: { giveUpCodes: [4000] } },
      { reconnect: { retryCodes: [4000] } },
      { buffer: { overflow: "OVERFLOW_DROP_NEWEST" } },
      { correlation: { mode: "CORRELATION_MODE_NEXT" } },
      { onLeaseLoss: "LEASE_LOSS_STOP" },
      { onLeaseLoss: "LEASE_LOSS_CONTINUE" },
      { handover: "HANDOVER_MAKE_BEFORE_BREAK" },
      { maxMessageBytes: 1 },
      { publishing: { packing: "PACKING_PACKED" } },
      { compression: true },
      { maxReplyBytes: 1 }
    ]
    expect(new Set(different.map(hash)).size).toBe(different.length)
  })
})
