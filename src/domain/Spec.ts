/**
 * What a caller asks for: the messages of ConnectRequest, with the proto's fields in camelCase.
 *
 * The schemas are loose on purpose (any number, any string): `domain/validation/Validate.ts` turns what does not hold into
 * `InvalidRequest` naming the field, the same over every door. Every field may be absent; 0 and "" mean absent where the
 * proto has no presence.
 */
import * as Schema from "effect/Schema"
import type { Template } from "./Templates.js"

const optional = Schema.optional
const Bytes = Schema.Uint8ArrayFromSelf
const StringMap = Schema.Record({ key: Schema.String, value: Schema.String })

export const Packing = Schema.Literal("PACKING_UNSPECIFIED", "PACKING_SINGLE", "PACKING_PACKED")
export const Overflow = Schema.Literal(
  "OVERFLOW_UNSPECIFIED",
  "OVERFLOW_PAUSE",
  "OVERFLOW_DROP_OLDEST",
  "OVERFLOW_DROP_NEWEST"
)
export const CorrelationMode = Schema.Literal(
  "CORRELATION_MODE_UNSPECIFIED",
  "CORRELATION_MODE_JSON_FIELD",
  "CORRELATION_MODE_ENVELOPE",
  "CORRELATION_MODE_PREFIX",
  "CORRELATION_MODE_NEXT"
)
export const LeaseLoss = Schema.Literal("LEASE_LOSS_UNSPECIFIED", "LEASE_LOSS_STOP", "LEASE_LOSS_CONTINUE")
export const HandoverPolicy = Schema.Literal(
  "HANDOVER_UNSPECIFIED",
  "HANDOVER_BREAK_BEFORE_MAKE",
  "HANDOVER_MAKE_BEFORE_BREAK"
)

/** How frames become events. */
export const Publishing = Schema.Struct({
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
  mode: optional(CorrelationMode),
  requestPath: optional(Schema.String),
  replyPath: optional(Schema.String)
})
export type Correlation = typeof Correlation.Type

/** Wait for a frame; frames that do not match are handled as ordinary frames. */
export const Expect = Schema.Struct({
  jsonPath: optional(Schema.String),
  equals: optional(Schema.String),
  timeoutMs: optional(Schema.Number),
  capture: optional(StringMap)
})
export type Expect = typeof Expect.Type

export const KeepAlive = Schema.Struct({
  pingIntervalMs: optional(Schema.Number),
  deadAfterMs: optional(Schema.Number),
  idleAfterMs: optional(Schema.Number),
  pingMessage: optional(Bytes),
  disablePing: optional(Schema.Boolean),
  pingBinary: optional(Bytes)
})
export type KeepAlive = typeof KeepAlive.Type

export const ReconnectPolicy = Schema.Struct({
  baseDelayMs: optional(Schema.Number),
  maxDelayMs: optional(Schema.Number),
  factor: optional(Schema.Number),
  maxAttempts: optional(Schema.Number),
  stableAfterMs: optional(Schema.Number),
  dialTimeoutMs: optional(Schema.Number),
  giveUpCodes: optional(Schema.Array(Schema.Number)),
  retryCodes: optional(Schema.Array(Schema.Number)),
  /** close code of every leaving that is meant to come back */
  leaveCode: optional(Schema.Number)
})
export type ReconnectPolicy = typeof ReconnectPolicy.Type

export const Buffering = Schema.Struct({
  maxFrames: optional(Schema.Number),
  maxBytes: optional(Schema.Number),
  overflow: optional(Overflow)
})
export type Buffering = typeof Buffering.Type

const specFields = {
  url: Schema.String,
  autoReconnect: optional(Schema.Boolean),
  headers: optional(StringMap),
  subprotocols: optional(Schema.Array(Schema.String)),
  handshake: optional(
    Schema.Array(
      Schema.Struct({
        sendText: optional(Bytes),
        sendBinary: optional(Bytes),
        expect: optional(Expect)
      })
    )
  ),
  keepAlive: optional(KeepAlive),
  reconnect: optional(ReconnectPolicy),
  buffer: optional(Buffering),
  correlation: optional(Correlation),
  onLeaseLoss: optional(LeaseLoss),
  handover: optional(HandoverPolicy),
  maxMessageBytes: optional(Schema.Number),
  publishing: optional(Publishing),
  compression: optional(Schema.Boolean),
  /** a larger frame is not looked into for a reply or a login step, default 1 MiB */
  maxReplyBytes: optional(Schema.Number)
}

/** A spec as asked. */
export const Spec = Schema.Struct(specFields)
export type Spec = typeof Spec.Type

export const ConnectRequest = Schema.Struct({
  ...specFields,
  tags: optional(StringMap),
  topic: optional(Schema.String),
  requestId: optional(Schema.String),
  awaitOpen: optional(Schema.Boolean)
})
export type ConnectRequest = typeof ConnectRequest.Type

// ------------------------------------------------------------ checked, with every default filled in

export interface TextStep {
  readonly kind: "text"
  readonly data: Uint8Array
  /** the data, read */
  readonly template: Template
}
export interface BinaryStep {
  readonly kind: "binary"
  readonly data: Uint8Array
}
export interface ExpectStep {
  readonly kind: "expect"
  /** "" is any frame */
  readonly jsonPath: string
  readonly equals: string
  readonly timeoutMs: number
  readonly capture: ReadonlyArray<readonly [name: string, path: string]>
}
export type HandshakeStep = TextStep | BinaryStep | ExpectStep

export interface ResolvedKeepAlive {
  /** milliseconds; Infinity: no protocol ping */
  readonly pingIntervalMs: number
  /** milliseconds without any frame, pong included; Infinity: off */
  readonly deadAfterMs: number
  /** milliseconds without a data frame; Infinity: off */
  readonly idleAfterMs: number
  /** the application-level ping and its interval; undefined: none */
  readonly ping: { readonly data: Uint8Array; readonly binary: boolean; readonly intervalMs: number } | undefined
}

export interface ResolvedReconnect {
  readonly baseDelayMs: number
  readonly maxDelayMs: number
  readonly factor: number
  /** Infinity: for ever */
  readonly maxAttempts: number
  readonly stableAfterMs: number
  readonly dialTimeoutMs: number
  readonly giveUpCodes: ReadonlySet<number>
  readonly retryCodes: ReadonlySet<number>
  /** undefined: 1000, going away 1001, and without a close frame where the lease is lost */
  readonly leaveCode: number | undefined
}

export interface ResolvedCorrelation {
  readonly mode: "json-field" | "envelope" | "prefix" | "next"
  readonly requestPath: string
  readonly replyPath: string
}

export interface ResolvedPublishing {
  readonly packed: boolean
  readonly maxFrames: number
  readonly maxBytes: number
  readonly lingerMs: number
  readonly textContentType: string
}

export interface ResolvedBuffer {
  readonly maxFrames: number
  readonly maxBytes: number
  readonly overflow: "pause" | "drop-oldest" | "drop-newest"
}

/** A spec that was checked: what the socket, the publisher and the manager work from. */
export interface ResolvedSpec {
  readonly url: string
  readonly templates: SpecTemplates
  /** the URL without credentials and secret query values: for events, lists and logs */
  readonly shownUrl: string
  /** host name and port, the key of the dial budget */
  readonly hostPort: string
  readonly autoReconnect: boolean
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly subprotocols: ReadonlyArray<string>
  readonly handshake: ReadonlyArray<HandshakeStep>
  readonly keepAlive: ResolvedKeepAlive
  readonly reconnect: ResolvedReconnect
  readonly buffer: ResolvedBuffer
  readonly correlation: ResolvedCorrelation
  /** undefined: as WSM_ON_LEASE_LOSS */
  readonly onLeaseLoss: "stop" | "continue" | undefined
  readonly makeBeforeBreak: boolean
  readonly maxMessageBytes: number
  readonly publishing: ResolvedPublishing
  readonly compression: boolean
  /** the largest frame that is looked into for a reply by its JSON, or for a login step */
  readonly maxReplyBytes: number
}

/** The texts of a spec in which placeholders are filled in at each dial. */
export interface SpecTemplates {
  readonly url: Template
  /** one for each header, and one for each subprotocol, in order */
  readonly headers: ReadonlyArray<Template>
  readonly subprotocols: ReadonlyArray<Template>
  /** undefined: there is no application-level ping that is text */
  readonly ping: Template | undefined
}
