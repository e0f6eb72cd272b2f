/** A spec that was checked, with every default filled in: what the socket, the publisher and the manager work from. */
import type { Template } from "./Templates.js"

/** A login step that sends a text frame. */
export interface TextStep {
  /** tells the steps apart */
  readonly kind: "text"
  /** as the spec has it, placeholders included */
  readonly data: Uint8Array
  /** the data, read */
  readonly template: Template
}
/** A login step that sends a binary frame. */
export interface BinaryStep {
  /** tells the steps apart */
  readonly kind: "binary"
  /** sent as it is */
  readonly data: Uint8Array
}
/** A login step that waits for a frame. */
export interface ExpectStep {
  /** tells the steps apart */
  readonly kind: "expect"
  /** "" is any frame */
  readonly jsonPath: string
  /** what stands at the path in the awaited frame, as text */
  readonly equals: string
  /** milliseconds; without the frame by then the dial has failed */
  readonly timeoutMs: number
  /** what later steps may use by its name, and where it stands in the frame */
  readonly capture: ReadonlyArray<readonly [name: string, path: string]>
}
/** One step of the login, in the order of the spec. */
export type ResolvedStep = TextStep | BinaryStep | ExpectStep

/** How a dead or idle socket is noticed. */
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

/** When the next dial comes, and when there is none. */
export interface ResolvedReconnect {
  /** before the first attempt, milliseconds; jitter comes on top */
  readonly baseDelayMs: number
  /** the longest delay, milliseconds */
  readonly maxDelayMs: number
  /** by which the delay grows with each dial that fails */
  readonly factor: number
  /** Infinity: for ever */
  readonly maxAttempts: number
  /** open for so many milliseconds, and the attempts count from the beginning */
  readonly stableAfterMs: number
  /** milliseconds for one dial, from the name to the 101 answer */
  readonly dialTimeoutMs: number
  /** close codes after which it is not tried again, over the built-in table */
  readonly giveUpCodes: ReadonlySet<number>
  /** close codes after which it is tried again at the usual pace, over the built-in table */
  readonly retryCodes: ReadonlySet<number>
  /** undefined: 1000, going away 1001, and without a close frame where the lease is lost */
  readonly leaveCode: number | undefined
}

/** How a reply is told from other frames. */
export interface ResolvedCorrelation {
  /** as in the spec */
  readonly mode: "json-field" | "envelope" | "prefix" | "next"
  /** where the id stands in a request that is JSON */
  readonly requestPath: string
  /** where the id stands in a reply that is JSON */
  readonly replyPath: string
}

/** How frames become events. */
export interface ResolvedPublishing {
  /** several frames in one event */
  readonly packed: boolean
  /** the most frames of one pack */
  readonly maxFrames: number
  /** the most bytes of one pack */
  readonly maxBytes: number
  /** milliseconds that a pack waits to become fuller */
  readonly lingerMs: number
  /** the datacontenttype of text frames */
  readonly textContentType: string
}

/** The bounds of what waits for the topic, and what happens at them. */
export interface ResolvedBuffer {
  /** the most frames that wait */
  readonly maxFrames: number
  /** the most bytes that wait */
  readonly maxBytes: number
  /** when full: the socket is not read, or the oldest or the newest frame is lost and reported as a gap */
  readonly overflow: "pause" | "drop-oldest" | "drop-newest"
}

/** A spec that was checked: what the socket, the publisher and the manager work from. */
export interface ResolvedSpec {
  /** as the spec has it, placeholders included */
  readonly url: string
  /** its texts with placeholders, read */
  readonly templates: SpecTemplates
  /** the URL without credentials and secret query values: for events, lists and logs */
  readonly shownUrl: string
  /** host name and port, the key of the dial budget */
  readonly hostPort: string
  /** false: the first end of the socket is the connection's */
  readonly autoReconnect: boolean
  /** of the opening request, in order */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  /** those offered, in order */
  readonly subprotocols: ReadonlyArray<string>
  /** the login after the socket is open, in order */
  readonly handshake: ReadonlyArray<ResolvedStep>
  /** pings and silence */
  readonly keepAlive: ResolvedKeepAlive
  /** delays, attempts and close codes */
  readonly reconnect: ResolvedReconnect
  /** what waits for the topic */
  readonly buffer: ResolvedBuffer
  /** replies to Send */
  readonly correlation: ResolvedCorrelation
  /** undefined: as WSM_ON_LEASE_LOSS */
  readonly onLeaseLoss: "stop" | "continue" | undefined
  /** in a planned move the new socket opens before the old one closes */
  readonly makeBeforeBreak: boolean
  /** a larger message closes the socket with 1009 */
  readonly maxMessageBytes: number
  /** packs and content type */
  readonly publishing: ResolvedPublishing
  /** permessage-deflate is offered */
  readonly compression: boolean
  /** the largest frame that is looked into for a reply by its JSON, or for a login step */
  readonly maxReplyBytes: number
}

/** The texts of a spec in which placeholders are filled in at each dial. */
export interface SpecTemplates {
  /** of the target */
  readonly url: Template
  /** one for each header, and one for each subprotocol, in order */
  readonly headers: ReadonlyArray<Template>
  /** one for each subprotocol, in order */
  readonly subprotocols: ReadonlyArray<Template>
  /** undefined: there is no application-level ping that is text */
  readonly ping: Template | undefined
}
