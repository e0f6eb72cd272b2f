/** The requests and answers of every operation, as in the proto, fields in camelCase. One schema for every door. */
import * as Schema from "effect/Schema"
import { ConnectionStatus } from "./ConnectionStatus.js"
import { Correlation, Publishing } from "./Spec.js"

const optional = Schema.optional
const StringMap = Schema.Record({ key: Schema.String, value: Schema.String })
const Bytes = Schema.Uint8ArrayFromSelf

/** A connection as it is shown: credentials and secret query values are removed. */
export const Connection = Schema.Struct({
  /** UUIDv7 made by the manager, or UUIDv8 made of the request_id */
  id: Schema.String,
  /** as asked, without credentials and secret query values */
  url: Schema.String,
  /** what it is doing */
  status: ConnectionStatus,
  /** empty: not publishing */
  topic: Schema.String,
  /** the owner */
  instanceId: Schema.String,
  /** of the last frame: text/plain or application/octet-stream; empty before the first */
  contentType: Schema.String,
  /** of the caller, for filters */
  tags: StringMap,
  /** whether a lost socket is dialled anew */
  autoReconnect: Schema.Boolean,
  /** grows with each change of owner: the fencing token */
  epoch: Schema.Number,
  /** when Connect made it */
  createdAt: Schema.Date,
  /** when the present socket opened; absent while there is none */
  connectedAt: optional(Schema.Date),
  /** arrival of the last frame under the present owner; absent before the first */
  lastFrameAt: optional(Schema.Date),
  /** by the present owner, as all counters here; replies to Sends are not counted */
  framesReceived: Schema.Number,
  /** frames that the broker took */
  framesPublished: Schema.Number,
  /** frames that were read and will never be published */
  framesDropped: Schema.Number,
  /** messages that the socket took */
  framesSent: Schema.Number,
  /** dials since the last stable open */
  reconnectAttempts: Schema.Number,
  /** tag and reason of the last `error` event, without secrets; empty: none yet */
  lastError: Schema.String,
  /** on the wire, of whichever side sent it; 1006 where there was none, 0 before the first close */
  lastCloseCode: Schema.Number
})
export type Connection = typeof Connection.Type

/** A request about one connection. */
export const WithId = Schema.Struct({
  /** of the connection */
  id: Schema.String
})
/** A request or answer without fields. */
export const Empty = Schema.Struct({})
/** An answer that shows the connection as it is now. */
export const WithConnection = Schema.Struct({
  /** as it is now */
  connection: Connection
})

/** The answer to Connect. */
export const ConnectResponse = Schema.Struct({
  /** of the connection, new or met again by its request_id */
  id: Schema.String,
  /** as in `connection` */
  status: ConnectionStatus,
  /** as it is at the answer */
  connection: Connection
})
export type ConnectResponse = typeof ConnectResponse.Type

/** How to close a connection. */
export const DisconnectRequest = Schema.Struct({
  /** of the connection */
  id: Schema.String,
  /** close code sent to the peer, 1000 or 3000–4999; default 1000 */
  code: optional(Schema.Number),
  /** sent to the peer, at most 123 bytes of UTF-8 */
  reason: optional(Schema.String)
})
export type DisconnectRequest = typeof DisconnectRequest.Type

/** A tag that a connection must have. */
export const TagFilter = Schema.Struct({
  /** not empty */
  key: Schema.String,
  /** compared as a whole */
  value: Schema.String
})
export type TagFilter = typeof TagFilter.Type

/** Which connections, of the whole fleet. Every condition must hold. */
export const ListRequest = Schema.Struct({
  /** all must hold; at most 50 */
  filters: optional(Schema.Array(TagFilter)),
  /** any of these; empty: all */
  statuses: optional(Schema.Array(Schema.Union(ConnectionStatus, Schema.Literal("CONNECTION_STATUS_UNSPECIFIED")))),
  /** exactly this one; empty: any */
  topic: optional(Schema.String),
  /** owned by this instance; empty: any */
  instanceId: optional(Schema.String),
  /** beginning of the shown URL; empty: any */
  urlPrefix: optional(Schema.String),
  /** default 100, at most 1000; a page ends early at 3 MiB */
  pageSize: optional(Schema.Number),
  /** `nextPageToken` of the page before, of the same query */
  pageToken: optional(Schema.String)
})
export type ListRequest = typeof ListRequest.Type
/** One page of them. */
export const ListResponse = Schema.Struct({
  /** in the order of their ids */
  connections: Schema.Array(Connection),
  /** empty: that was all */
  nextPageToken: Schema.String
})
export type ListResponse = typeof ListResponse.Type

/** Where frames go from now on. */
export const StartPublishRequest = Schema.Struct({
  /** of the connection */
  id: Schema.String,
  /** 1–256 characters, one that WSM_TOPICS allows */
  topic: Schema.String,
  /** absent: as before */
  publishing: optional(Publishing)
})
export type StartPublishRequest = typeof StartPublishRequest.Type

/** One message, and how its reply is known. */
export const SendRequest = Schema.Struct({
  /** of the connection */
  id: Schema.String,
  /** up to 16 MiB */
  message: Bytes,
  /** milliseconds until the reply, default 10,000, at most an hour; never longer than the call's own deadline */
  timeoutMs: optional(Schema.Number),
  /** text/* and application/json: a text frame (default); all else: a binary one */
  contentType: optional(Schema.String),
  /** in place of the connection's, for this message */
  correlation: optional(Correlation)
})
export type SendRequest = typeof SendRequest.Type
/** The reply. */
export const SendResponse = Schema.Struct({
  /** the reply, without what the correlation put around it */
  response: Bytes,
  /** text/plain or application/octet-stream, by the frame of the reply */
  contentType: Schema.String
})
export type SendResponse = typeof SendResponse.Type
/** One message without a reply. */
export const SendRawRequest = Schema.Struct({
  /** of the connection */
  id: Schema.String,
  /** up to 16 MiB; none is a frame of 0 bytes */
  message: Bytes,
  /** as in a Send */
  contentType: optional(Schema.String)
})
export type SendRawRequest = typeof SendRawRequest.Type

/** One frame of a connection, live. */
export const ReceiveResponse = Schema.Struct({
  /** the frame, byte for byte */
  data: Bytes,
  /** of the frame, as when it is published */
  contentType: Schema.String,
  /** of the owner that read it */
  epoch: Schema.Number,
  /** of the frame within the epoch, from 1 */
  sequence: Schema.Number,
  /** arrival at the manager */
  receivedAt: Schema.Date,
  /** frames that this slow reader did not get before this one */
  missed: Schema.Number
})
export type ReceiveResponse = typeof ReceiveResponse.Type

/** A topic of the embedded bus. */
export const SubscribeRequest = Schema.Struct({
  /** 1–256 characters */
  topic: Schema.String
})
/** One event of that topic. */
export const SubscribeResponse = Schema.Struct({
  /** a CloudEvent in structured JSON */
  event: Bytes,
  /** events that this slow reader did not get before this one */
  missed: Schema.Number
})
export type SubscribeResponse = typeof SubscribeResponse.Type

/** One tag to set. */
export const SetTagRequest = Schema.Struct({
  /** of the connection */
  id: Schema.String,
  /** 1–128 characters */
  key: Schema.String,
  /** at most 1024 characters */
  value: Schema.String
})
/** One tag to read or delete. */
export const TagRequest = Schema.Struct({
  /** of the connection */
  id: Schema.String,
  /** 1–128 characters */
  key: Schema.String
})
/** The value of one tag. */
export const GetTagResponse = Schema.Struct({
  /** absent: there is no such tag */
  value: optional(Schema.String)
})
/** All tags of a connection, anew. */
export const SetTagsRequest = Schema.Struct({
  /** of the connection */
  id: Schema.String,
  /** in place of all there are; at most 50 */
  tags: optional(StringMap)
})
/** All tags of a connection. */
export const GetTagsResponse = Schema.Struct({
  /** key → value */
  tags: StringMap
})

/** Which lifecycle events, of the whole fleet. */
export const WatchRequest = Schema.Struct({
  /** of these connections; empty: all, and the events of instances */
  ids: optional(Schema.Array(Schema.String)),
  /** by tags of the connection, all must hold */
  filters: optional(Schema.Array(TagFilter))
})
export type WatchRequest = typeof WatchRequest.Type
/** One lifecycle event. */
export const WatchResponse = Schema.Struct({
  /** the name of the event, such as `connected` or `gap` */
  type: Schema.String,
  /** empty for events of an instance */
  connectionId: Schema.String,
  /** of the instance that tells it */
  instanceId: Schema.String,
  /** when it happened */
  time: Schema.Date,
  /** of this event, as proto/README.md has them; values as text */
  attributes: StringMap,
  /** events that this slow reader did not get before this one; at least 1 after a broken link to an instance */
  missed: Schema.Number
})
export type WatchResponse = typeof WatchResponse.Type

export * from "./FleetMessages.js"
