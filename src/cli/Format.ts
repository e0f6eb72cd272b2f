/** A frame, an event, a connection: as a line for people and as JSON for programs. */
import { LIFECYCLE_NAMES } from "../domain/ConnectionEvent.js"
import { shortStatus } from "../domain/ConnectionStatus.js"
import { OCTET_STREAM } from "../domain/Frame.js"
import type * as M from "../domain/Messages.js"
import { readEvent } from "../domain/ReadEvent.js"
import { base64, block, clock, cutTo, hex, jsonLine, plain, safeJson, size, stamp, utf8 } from "./Text.js"

/** How lines are drawn: with colour or without, cut to a width or whole. */
export interface Style {
  readonly colour: boolean
  /** undefined: whole */
  readonly columns: number | undefined
}

const CODES = { red: 31, green: 32, yellow: 33, magenta: 35, cyan: 36, dim: 2 } as const
type Colour = keyof typeof CODES

const paint = (style: Style, colour: Colour, text: string): string =>
  style.colour ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text

const fit = (style: Style, used: number, text: string): string =>
  style.columns === undefined ? text : cutTo(text, Math.max(20, style.columns - used))

/** More than a line shows; what is beyond is never decoded. */
const PREVIEW_BYTES = 4096
const HEX_BYTES = 32

const preview = (style: Style, used: number, data: Uint8Array, binary: boolean): string => {
  if (binary) return paint(style, "cyan", `hex ${hex(data, style.columns === undefined ? data.byteLength : HEX_BYTES)}`)
  const shown = style.columns === undefined ? data : data.subarray(0, PREVIEW_BYTES)
  return fit(style, used, plain(utf8(shown)))
}

const TOO_SLOW = "this reader was too slow"
const OR_UNLINKED = `${TOO_SLOW}, or an instance could not be heard for a while`

const missedLine = (style: Style, missed: number, what: string, why = TOO_SLOW): string =>
  missed === 0 ? "" : `${paint(style, "red", `-- missed ${missed} ${what}${missed === 1 ? "" : "s"}: ${why} --`)}\n`

const isBinary = (contentType: string): boolean => contentType === OCTET_STREAM

const frame = (style: Style, at: Date, epoch: number, sequence: number, data: Uint8Array, binary: boolean): string => {
  const head = `${clock(at)}  ${`${epoch}:${sequence}`.padEnd(16)}  ${size(data.byteLength).padStart(9)}  `
  return `${paint(style, "dim", head)}${preview(style, head.length, data, binary)}`
}

/** One line a frame: time, epoch and sequence, size, and the frame itself; what was missed stands before it. */
export const frameLine = (style: Style, item: M.ReceiveResponse): string =>
  missedLine(style, item.missed, "frame") +
  frame(style, item.receivedAt, item.epoch, item.sequence, item.data, isBinary(item.contentType))

/** Bytes for programs: a text frame as `text`, anything else as `base64`. */
const payload = (data: Uint8Array, contentType: string) =>
  isBinary(contentType) ? { base64: base64(data) } : { text: utf8(data) }

export const frameJson = (item: M.ReceiveResponse): string =>
  jsonLine({
    epoch: item.epoch,
    sequence: item.sequence,
    receivedAt: item.receivedAt,
    contentType: item.contentType,
    ...payload(item.data, item.contentType),
    missed: item.missed
  })

const EVENT_COLOUR: Readonly<Record<string, Colour>> = {
  connecting: "yellow",
  connected: "green",
  reconnecting: "yellow",
  disconnected: "magenta",
  failed: "red",
  error: "red",
  gap: "red",
  claimed: "cyan",
  migrated: "cyan"
}

/** Of the longest. */
const TYPE_WIDTH = Math.max(...LIFECYCLE_NAMES.map(({ length }) => length))

const EPOCHS: ReadonlySet<string> = new Set(["epoch", "lastepoch", "firstepoch"])
const TIMES: ReadonlySet<string> = new Set(["lastat", "firstat"])

/** An attribute as a person reads it: what says nothing is left out, a time is a time of day. */
const attribute = (event: M.WatchResponse, key: string, value: string): string => {
  if (value === "" || (EPOCHS.has(key) && value === event.attributes.epoch)) return ""
  const shown = TIMES.has(key) ? clock(new Date(value)) : plain(value)
  return ` ${plain(key)}=${/\s/.test(shown) ? JSON.stringify(shown) : shown}`
}

/** One line an event: time, name, subject, reporting instance, and attributes. An instance is shown by its address. */
export const eventLine = (style: Style, event: M.WatchResponse): string => {
  const { address = event.instanceId, ...rest } = event.attributes
  const who = event.connectionId === "" ? address : event.connectionId
  const attributes = Object.entries({ by: event.instanceId, ...(event.connectionId === "" ? rest : event.attributes) })
    .map(([key, value]) => attribute(event, key, value))
    .join("")
  const type = paint(style, EVENT_COLOUR[event.type] ?? "cyan", plain(event.type).padEnd(TYPE_WIDTH))
  return `${missedLine(style, event.missed, "event", OR_UNLINKED)}${paint(style, "dim", clock(event.time))}  ${type}  ${plain(who)} ${attributes}`.trimEnd()
}

export const eventJson = (event: M.WatchResponse): string => jsonLine(event)

/** Frames of a published event; undefined: shown as it is. */
const framesOf = (event: Uint8Array) => {
  try {
    const read = readEvent(event)
    return read?.kind === "frames" ? read : undefined
  } catch {
    return undefined
  }
}

/** One line for each frame of a published event; packed events have many. */
export const publishedLines = (style: Style, item: M.SubscribeResponse): string => {
  const missed = missedLine(style, item.missed, "event")
  const event = framesOf(item.event)
  if (event === undefined) return missed + fit(style, 0, plain(utf8(item.event)))
  const subject = plain(event.connectionId)
  const prefix = subject === "" ? "" : `${paint(style, "dim", subject)}  `
  const narrow = { ...style, columns: style.columns === undefined ? undefined : style.columns - subject.length - 2 }
  const lines = event.frames.map(({ data, receivedAt, sequence }) => {
    const binary = typeof data !== "string"
    return (
      prefix + frame(narrow, new Date(receivedAt), event.epoch, sequence, binary ? data : Buffer.from(data), binary)
    )
  })
  return missed + lines.join("\n")
}

/** The event as it was published, number for number: it is not decoded and encoded again. */
export const publishedJson = (item: M.SubscribeResponse): string =>
  `{"event":${safeJson(utf8(item.event)).replace(/[\r\n]/g, " ")},"missed":${item.missed}}`

/** A reply: for people its text, for programs with its type. */
export const replyJson = (reply: M.SendResponse): string =>
  jsonLine({ contentType: reply.contentType, ...payload(reply.response, reply.contentType) })

export const replyLine = (reply: M.SendResponse): string =>
  isBinary(reply.contentType) ? `hex ${hex(reply.response, reply.response.byteLength)}` : plain(utf8(reply.response))

const tags = (pairs: Readonly<Record<string, string>>): string =>
  Object.entries(pairs)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ")

export const CONNECTION_HEADER = ["ID", "STATUS", "TOPIC", "RECEIVED", "DROPPED", "INSTANCE", "URL", "TAGS"]

export const connectionRow = (connection: M.Connection): ReadonlyArray<string> => [
  connection.id,
  shortStatus(connection.status),
  connection.topic === "" ? "-" : connection.topic,
  String(connection.framesReceived),
  String(connection.framesDropped),
  connection.instanceId,
  connection.url,
  tags(connection.tags)
]

/** Everything about one connection, a field a line. */
export const connectionBlock = (connection: M.Connection): string =>
  block([
    ["id", connection.id],
    ["url", connection.url],
    ["status", shortStatus(connection.status)],
    ["topic", connection.topic === "" ? "- (not publishing)" : connection.topic],
    ["tags", tags(connection.tags)],
    ["instance", connection.instanceId],
    ["epoch", String(connection.epoch)],
    ["created", stamp(connection.createdAt)],
    ["connected", stamp(connection.connectedAt)],
    ["last frame", stamp(connection.lastFrameAt)],
    ["content type", connection.contentType],
    [
      "frames",
      `${connection.framesReceived} received, ${connection.framesPublished} published, ${connection.framesDropped} dropped, ${connection.framesSent} sent`
    ],
    ["auto reconnect", connection.autoReconnect ? "on" : "off"],
    ["attempts", connection.reconnectAttempts === 0 ? "" : String(connection.reconnectAttempts)],
    ["last error", connection.lastError],
    ["close code", connection.lastCloseCode === 0 ? "" : String(connection.lastCloseCode)]
  ])

export const INSTANCE_HEADER = ["ID", "STATUS", "CONNECTIONS", "STARTED", "LAST SEEN", "ADDRESS"]

export const instanceRow = (instance: M.Instance): ReadonlyArray<string> => [
  instance.id,
  instance.status.slice("INSTANCE_STATUS_".length).toLowerCase(),
  String(instance.connections),
  stamp(instance.startedAt),
  stamp(instance.lastSeenAt),
  instance.address
]
