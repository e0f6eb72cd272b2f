/**
 * What a caller asks for: the messages of ConnectRequest, with the proto's fields in camelCase.
 *
 * The schemas are loose on purpose (any number, any string). `domain/validation/Validate.ts` turns what does not hold into
 * `InvalidRequest` naming the field, the same over every door. Every field may be absent; 0 and "" mean absent where the
 * proto has no presence.
 */
import * as Schema from "effect/Schema"

const optional = Schema.optional
const Bytes = Schema.Uint8ArrayFromSelf
const StringMap = Schema.Record({ key: Schema.String, value: Schema.String })

/** SINGLE: one event a frame. PACKED: one event for many frames, in order. */
export const Packing = Schema.Literal("PACKING_UNSPECIFIED", "PACKING_SINGLE", "PACKING_PACKED")
/** What a full buffer does. PAUSE: the socket is not read, the peer feels it, nothing is lost here. */
export const Overflow = Schema.Literal(
  "OVERFLOW_UNSPECIFIED",
  "OVERFLOW_PAUSE",
  "OVERFLOW_DROP_OLDEST",
  "OVERFLOW_DROP_NEWEST"
)
/**
 * JSON_FIELD: the reply carries the request's id at a JSON path. ENVELOPE: out `{id, message}`, in `{id, payload}`. PREFIX: 16
 * raw bytes of a UUID in front, both ways, binary frames. NEXT: the next frame is the reply, one request at a time.
 */
export const CorrelationMode = Schema.Literal(
  "CORRELATION_MODE_UNSPECIFIED",
  "CORRELATION_MODE_JSON_FIELD",
  "CORRELATION_MODE_ENVELOPE",
  "CORRELATION_MODE_PREFIX",
  "CORRELATION_MODE_NEXT"
)
/**
 * STOP: the socket is closed before another instance may own it. CONTINUE: frames go on with the old epoch while the state
 * store is unreachable.
 */
export const LeaseLoss = Schema.Literal("LEASE_LOSS_UNSPECIFIED", "LEASE_LOSS_STOP", "LEASE_LOSS_CONTINUE")
/** BREAK_BEFORE_MAKE: the old socket closes first. MAKE_BEFORE_BREAK: the new socket opens first; the peer must allow two. */
export const HandoverPolicy = Schema.Literal(
  "HANDOVER_UNSPECIFIED",
  "HANDOVER_BREAK_BEFORE_MAKE",
  "HANDOVER_MAKE_BEFORE_BREAK"
)

/** How frames become events. */
export const Publishing = Schema.Struct({
  /** default: SINGLE */
  packing: optional(Packing),
  /** packed: frames in one event, default 256 */
  maxFrames: optional(Schema.Number),
  /** packed: bytes of frame data in one event, default 256 KiB */
  maxBytes: optional(Schema.Number),
  /** packed: the longest a frame waits for company, milliseconds, default 5 */
  lingerMs: optional(Schema.Number),
  /** of text frames, default text/plain */
  textContentType: optional(Schema.String)
})
export type Publishing = typeof Publishing.Type

/** Where a reply carries the id of its request. */
export const Correlation = Schema.Struct({
  /** default: JSON_FIELD */
  mode: optional(CorrelationMode),
  /** JSON_FIELD: where the id stands, or is put if absent; default `$.id` */
  requestPath: optional(Schema.String),
  /** default: `requestPath` */
  replyPath: optional(Schema.String)
})
export type Correlation = typeof Correlation.Type

/** Wait for a frame; frames that do not match are handled as ordinary frames. */
export const Expect = Schema.Struct({
  /** such as `$.type`; empty: any frame */
  jsonPath: optional(Schema.String),
  /** compared as text, with the whole frame where `jsonPath` is empty; empty: it only has to exist */
  equals: optional(Schema.String),
  /** milliseconds, default 10,000, at most an hour */
  timeoutMs: optional(Schema.Number),
  /** name → JSON path, for `${capture:NAME}` in later steps; at most 16 in a login, 64 KiB each */
  capture: optional(StringMap)
})
export type Expect = typeof Expect.Type

/** One step of the login. Exactly one field is set. */
export const HandshakeStep = Schema.Struct({
  /** a text frame; `${secret:NAME}`, `${capture:NAME}` and the others are filled in; at most 64 KiB */
  sendText: optional(Bytes),
  /** a binary frame, as it is */
  sendBinary: optional(Bytes),
  /** waits for a frame */
  expect: optional(Expect)
})
export type HandshakeStep = typeof HandshakeStep.Type

/** When a silent socket is pinged, and when it is given up. */
export const KeepAlive = Schema.Struct({
  /** between two protocol pings, milliseconds, 100 to an hour; default 20,000 */
  pingIntervalMs: optional(Schema.Number),
  /**
   * nothing came for so long, not even a part of a frame: the socket is cut; milliseconds, default three times
   * `pingIntervalMs`, off with `disablePing` and no application-level ping
   */
  deadAfterMs: optional(Schema.Number),
  /** no data frame came for so long: the socket is closed and dialled anew; milliseconds, default off */
  idleAfterMs: optional(Schema.Number),
  /** application-level ping, sent as text each `pingIntervalMs`; at most 64 KiB */
  pingMessage: optional(Bytes),
  /** no protocol ping */
  disablePing: optional(Schema.Boolean),
  /** as `pingMessage`, sent as a binary frame */
  pingBinary: optional(Bytes)
})
export type KeepAlive = typeof KeepAlive.Type

/** When and how often a lost socket is dialled anew. */
export const ReconnectPolicy = Schema.Struct({
  /** before the first attempt, milliseconds, default 1,000; jitter comes on top */
  baseDelayMs: optional(Schema.Number),
  /** milliseconds, default 30,000 */
  maxDelayMs: optional(Schema.Number),
  /** from one delay to the next, at least 1, default 2 */
  factor: optional(Schema.Number),
  /** then the connection is FAILED; 0: for ever (default) */
  maxAttempts: optional(Schema.Number),
  /** open for so long, and the attempts count from the beginning; milliseconds, default 10,000 */
  stableAfterMs: optional(Schema.Number),
  /** to the 101 answer, milliseconds, default 10,000; steps of the login have their own, a minute together */
  dialTimeoutMs: optional(Schema.Number),
  /** close codes after which it is not tried again, over the built-in table */
  giveUpCodes: optional(Schema.Array(Schema.Number)),
  /** close codes that are retried at the usual pace, over the built-in table */
  retryCodes: optional(Schema.Array(Schema.Number)),
  /** close code of every leaving that is meant to come back */
  leaveCode: optional(Schema.Number)
})
export type ReconnectPolicy = typeof ReconnectPolicy.Type

/** What may wait for the topic, and what happens beyond. */
export const Buffering = Schema.Struct({
  /** default 4,096 */
  maxFrames: optional(Schema.Number),
  /** default 8 MiB; a larger single frame is taken when the buffer is empty */
  maxBytes: optional(Schema.Number),
  /** default: PAUSE */
  overflow: optional(Overflow)
})
export type Buffering = typeof Buffering.Type

const specFields = {
  /** ws:// or wss://, at most 8 KiB, without a fragment; `${secret:NAME}` is filled in at each dial */
  url: Schema.String,
  /** default true */
  autoReconnect: optional(Schema.Boolean),
  /**
   * of the opening request; a value may be `secret:NAME`. `${secret:NAME}`, `${connection:id}`, `${connection:epoch}` and
   * `${instance:id}` are filled in at each dial
   */
  headers: optional(StringMap),
  /** offered, in this order; at most 16 */
  subprotocols: optional(Schema.Array(Schema.String)),
  /** the login: run after every open, before CONNECTED, on whichever instance; at most 64 steps */
  handshake: optional(Schema.Array(HandshakeStep)),
  /** its clocks */
  keepAlive: optional(KeepAlive),
  /** its schedule */
  reconnect: optional(ReconnectPolicy),
  /** what waits for the topic */
  buffer: optional(Buffering),
  /** how replies are known, where a Send does not say */
  correlation: optional(Correlation),
  /** default: WSM_ON_LEASE_LOSS */
  onLeaseLoss: optional(LeaseLoss),
  /** of planned moves; default: BREAK_BEFORE_MAKE */
  handover: optional(HandoverPolicy),
  /** default and limit 16 MiB; a larger frame closes the socket with 1009 */
  maxMessageBytes: optional(Schema.Number),
  /** how frames become events */
  publishing: optional(Publishing),
  /** offer permessage-deflate; default false */
  compression: optional(Schema.Boolean),
  /** a larger frame is not looked into for a reply or a login step, default 1 MiB */
  maxReplyBytes: optional(Schema.Number)
}

/** A spec as asked. */
export const Spec = Schema.Struct(specFields)
export type Spec = typeof Spec.Type

/** A spec, and how its connection is found again. */
export const ConnectRequest = Schema.Struct({
  ...specFields,
  /** at most 50; keys up to 128 characters, values up to 1024 */
  tags: optional(StringMap),
  /** where frames go, from the first one on; empty: not yet */
  topic: optional(Schema.String),
  /** idempotency key, 1–256 characters: the same key is the same connection, at any instance */
  requestId: optional(Schema.String),
  /** default true: answer when it is open, or when the first dial has failed */
  awaitOpen: optional(Schema.Boolean)
})
export type ConnectRequest = typeof ConnectRequest.Type

export type * from "./ResolvedSpec.js"
