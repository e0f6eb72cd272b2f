/** What goes to a topic, and the CloudEvent 1.0 (structured JSON) that it becomes where it leaves the process. */
import type { LifecycleEvent } from "./ConnectionEvent.js"
import { OCTET_STREAM, TEXT_PLAIN, type Frame, type FrameOrigin, type FramePack } from "./Frame.js"

/** What goes to a topic. */
export type TopicEvent = Frame | FramePack | LifecycleEvent

/** The same on every repetition, so that brokers and consumers can drop duplicates. */
export const eventId = (event: TopicEvent): string => {
  switch (event.kind) {
    case "frame":
      return `${event.origin.connectionId}:${event.origin.epoch}:${event.sequence}`
    case "frames":
      return `${event.origin.connectionId}:${event.origin.epoch}:${first(event).sequence}-${last(event).sequence}`
    case "lifecycle":
      return event.id
  }
}

/** The event as CloudEvents JSON. Frames are never put in as JSON values: decoding and encoding again would change them. */
export const encode = (event: TopicEvent): string => encodeWith(event, headOf, time)

/**
 * `encode` for a stream of events: what the frames of a connection have in common is written once. For one owner; it remembers
 * a connection as long as its frames live.
 */
export const makeEncoder = (): ((event: TopicEvent) => string) => {
  const heads = new WeakMap<FrameOrigin, Head>()
  const rememberedHead = (origin: FrameOrigin): Head => {
    let head = heads.get(origin)
    if (head === undefined) heads.set(origin, (head = headOf(origin)))
    return head
  }
  let at = NaN
  let text = ""
  const rememberedTime = (milliseconds: number): string => {
    if (milliseconds === at) return text
    at = milliseconds
    return (text = time(milliseconds))
  }
  return (event) => encodeWith(event, rememberedHead, rememberedTime)
}

const encodeWith = (event: TopicEvent, head: HeadOf, time: TimeOf): string => {
  switch (event.kind) {
    case "frame":
      return encodeFrame(event, head, time)
    case "frames":
      return encodePack(event, head, time)
    case "lifecycle":
      return encodeLifecycle(event)
  }
}

/** Bytes of the event as encoded. What frames hold is counted and not encoded, which may take seconds where all is escaped. */
export const encodedSize = (event: TopicEvent): number => {
  switch (event.kind) {
    case "frame":
      return Buffer.byteLength(encodeFrame(event, headOf, time, EMPTY)) + contentSize(event, isPlainText(event))
    case "frames": {
      let bytes = Buffer.byteLength(encodePack(event, headOf, time, () => EMPTY))
      for (const frame of event.frames) bytes += contentSize(frame, !frame.binary)
      return bytes
    }
    case "lifecycle":
      return Buffer.byteLength(encodeLifecycle(event))
  }
}

/**
 * At least the bytes of the event as encoded, without encoding it. Text is counted as if every byte had to be escaped, so this
 * may be six times too much.
 */
export const encodedSizeBound = (event: TopicEvent): number => {
  switch (event.kind) {
    case "frame":
      return overhead(event.origin) + (isPlainText(event) ? escaped(event.data.length) : base64(event.data.length))
    case "frames": {
      let bytes = overhead(event.origin)
      for (const frame of event.frames) bytes += packedSizeBound(frame)
      return bytes
    }
    case "lifecycle": {
      let bytes = FIXED + escaped(event.connectionId.length + event.instanceId.length * 2 + event.name.length) * 3
      for (const [name, value] of Object.entries({ ...event.attributes, ...twice(event.attributes) }))
        bytes += escaped(name.length + value.length) + 6
      return bytes
    }
  }
}

/** At least the bytes that a frame adds to a pack. */
export const packedSizeBound = (frame: Frame): number =>
  PACKED_FIXED + (frame.binary ? base64(frame.data.length) : escaped(frame.data.length))

/** The bytes that a frame adds to a pack; of its numbers, the most that they can have. Looks at each byte of a text. */
export const packedSize = (frame: Frame): number => PACKED_FIXED + contentSize(frame, !frame.binary)

/** Whether the event as encoded has at most this many bytes. Counts only where the answer is not plain. */
export const fits = (event: TopicEvent, limit: number): boolean =>
  encodedSizeBound(event) <= limit || (rawSize(event) <= limit && encodedSize(event) <= limit)

/** Names, punctuation, times and numbers of an event; generous. */
const FIXED = 512
/** `{"s":…,"t":…,"base64":""},` with two numbers. */
const PACKED_FIXED = 64

const first = (pack: FramePack): Frame => pack.frames[0]!
const last = (pack: FramePack): Frame => pack.frames.at(-1)!
const isPlainText = (frame: Frame): boolean => !frame.binary && frame.origin.textContentType === TEXT_PLAIN
const EMPTY = Buffer.alloc(0)
/** Bytes that a byte of text becomes inside a JSON string. */
const JSON_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => JSON.stringify(String.fromCharCode(byte)).length - 2)
const contentSize = ({ data }: Frame, asText: boolean): number => {
  if (!asText) return base64(data.length)
  let bytes = 0
  for (let i = 0; i < data.length; i++) bytes += JSON_BYTES[data[i]!]!
  return bytes
}
const base64 = (bytes: number): number => Math.ceil(bytes / 3) * 4
const escaped = (length: number): number => length * 6
const overhead = (origin: FrameOrigin): number =>
  FIXED +
  escaped(origin.connectionId.length * 3 + origin.connectionUrl.length + origin.instanceId.length * 2) +
  escaped(origin.textContentType.length)

/** At most the bytes of the event as encoded. */
const rawSize = (event: TopicEvent): number => {
  switch (event.kind) {
    case "frame":
      return event.data.length
    case "frames":
      return event.frames.reduce((bytes, frame) => bytes + frame.data.length, 0)
    case "lifecycle":
      return 0
  }
}

const time = (milliseconds: number): string => new Date(milliseconds).toISOString()

/** What the events of a connection's frames have in common. */
interface Head {
  /** an object, begun */
  readonly attributes: string
  /** the id up to the sequence, a JSON string that is not closed */
  readonly id: string
}
type HeadOf = (origin: FrameOrigin) => Head
type TimeOf = (milliseconds: number) => string

const headOf: HeadOf = ({ connectionId, connectionUrl, epoch, instanceId }) => {
  const id = JSON.stringify(connectionId)
  return {
    attributes:
      `{"specversion":"1.0","source":${JSON.stringify(`urn:websocketmanager:${instanceId}`)},"subject":${id}` +
      `,"connectionid":${id},"connectionurl":${JSON.stringify(connectionUrl)}` +
      `,"instanceid":${JSON.stringify(instanceId)},"epoch":"${epoch}"`,
    id: `${id.slice(0, -1)}:${epoch}:`
  }
}

const encodeFrame = (frame: Frame, headOf: HeadOf, time: TimeOf, data: Buffer = frame.data): string => {
  const { binary, origin, receivedAt, sequence } = frame
  const { attributes, id } = headOf(origin)
  const contentType = binary ? OCTET_STREAM : origin.textContentType
  const payload = isPlainText(frame)
    ? `"data":${JSON.stringify(data.toString("utf8"))}`
    : `"data_base64":"${data.toString("base64")}"`
  return (
    `${attributes},"type":"websocketmanager.frame","id":${id}${sequence}","sequence":"${sequence}"` +
    `,"time":"${time(receivedAt)}","datacontenttype":${JSON.stringify(contentType)},${payload}}`
  )
}

const encodePack = (
  pack: FramePack,
  headOf: HeadOf,
  time: TimeOf,
  dataOf: (frame: Frame) => Buffer = ({ data }) => data
): string => {
  const { attributes, id } = headOf(pack.origin)
  const { receivedAt, sequence: from } = first(pack)
  const { sequence: to } = last(pack)
  // Encoded together: that takes a third less time than one after the other.
  const items = pack.frames.map((frame) => {
    const { binary, receivedAt: t, sequence: s } = frame
    const data = dataOf(frame)
    return binary ? { s, t, base64: data.toString("base64") } : { s, t, text: data.toString("utf8") }
  })
  return (
    `${attributes},"type":"websocketmanager.frames","id":${id}${from}-${to}","sequence":"${from}","sequencelast":"${to}"` +
    `,"time":"${time(receivedAt)}","datacontenttype":"application/json","data":${JSON.stringify(items)}}`
  )
}

/**
 * Dapr overwrites an attribute `topic` with the topic that the event is published on. So what the event says there stands
 * here too.
 */
const twice = ({ topic }: LifecycleEvent["attributes"]): Record<string, string> =>
  topic === undefined ? {} : { connectiontopic: topic }

const encodeLifecycle = (event: LifecycleEvent): string =>
  JSON.stringify({
    specversion: "1.0",
    id: event.id,
    source: `urn:websocketmanager:${event.instanceId}`,
    type: `websocketmanager.${event.name}`,
    ...(event.connectionId === "" ? {} : { subject: event.connectionId }),
    time: time(event.time),
    ...event.attributes,
    ...twice(event.attributes),
    ...(event.connectionId === "" ? {} : { connectionid: event.connectionId, epoch: String(event.epoch) }),
    instanceid: event.instanceId
  })
