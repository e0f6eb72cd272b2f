/** A spec that was checked, with every default filled in: what the socket, the publisher and the manager work from. */
import type { Template } from "./Templates.js"

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
export type ResolvedStep = TextStep | BinaryStep | ExpectStep

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
  readonly handshake: ReadonlyArray<ResolvedStep>
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
