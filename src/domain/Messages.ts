/** The requests and answers of every operation, as in the proto, fields in camelCase. One schema for every door. */
import * as Schema from "effect/Schema"
import { ConnectionStatus } from "./ConnectionStatus.js"
import { Correlation, Publishing } from "./Spec.js"

const optional = Schema.optional
const StringMap = Schema.Record({ key: Schema.String, value: Schema.String })
const Bytes = Schema.Uint8ArrayFromSelf

/** A connection as it is shown: credentials and secret query values are removed. */
export const Connection = Schema.Struct({
  id: Schema.String,
  url: Schema.String,
  status: ConnectionStatus,
  /** empty: not publishing */
  topic: Schema.String,
  instanceId: Schema.String,
  /** of the last frame: text/plain or application/octet-stream; empty before the first */
  contentType: Schema.String,
  tags: StringMap,
  autoReconnect: Schema.Boolean,
  epoch: Schema.Number,
  createdAt: Schema.Date,
  connectedAt: optional(Schema.Date),
  lastFrameAt: optional(Schema.Date),
  framesReceived: Schema.Number,
  framesPublished: Schema.Number,
  framesDropped: Schema.Number,
  framesSent: Schema.Number,
  reconnectAttempts: Schema.Number,
  lastError: Schema.String,
  lastCloseCode: Schema.Number
})
export type Connection = typeof Connection.Type

export const WithId = Schema.Struct({ id: Schema.String })
export const Empty = Schema.Struct({})
export const WithConnection = Schema.Struct({ connection: Connection })

export const ConnectResponse = Schema.Struct({ id: Schema.String, status: ConnectionStatus, connection: Connection })
export type ConnectResponse = typeof ConnectResponse.Type

export const DisconnectRequest = Schema.Struct({
  id: Schema.String,
  code: optional(Schema.Number),
  reason: optional(Schema.String)
})
export type DisconnectRequest = typeof DisconnectRequest.Type

export const TagFilter = Schema.Struct({ key: Schema.String, value: Schema.String })
export type TagFilter = typeof TagFilter.Type

export const ListRequest = Schema.Struct({
  filters: optional(Schema.Array(TagFilter)),
  statuses: optional(Schema.Array(Schema.Union(ConnectionStatus, Schema.Literal("CONNECTION_STATUS_UNSPECIFIED")))),
  topic: optional(Schema.String),
  instanceId: optional(Schema.String),
  urlPrefix: optional(Schema.String),
  pageSize: optional(Schema.Number),
  pageToken: optional(Schema.String)
})
export type ListRequest = typeof ListRequest.Type
export const ListResponse = Schema.Struct({ connections: Schema.Array(Connection), nextPageToken: Schema.String })
export type ListResponse = typeof ListResponse.Type

export const StartPublishRequest = Schema.Struct({
  id: Schema.String,
  topic: Schema.String,
  publishing: optional(Publishing)
})
export type StartPublishRequest = typeof StartPublishRequest.Type

export const SendRequest = Schema.Struct({
  id: Schema.String,
  message: Bytes,
  timeoutMs: optional(Schema.Number),
  contentType: optional(Schema.String),
  correlation: optional(Correlation)
})
export type SendRequest = typeof SendRequest.Type
export const SendResponse = Schema.Struct({ response: Bytes, contentType: Schema.String })
export type SendResponse = typeof SendResponse.Type
export const SendRawRequest = Schema.Struct({
  id: Schema.String,
  message: Bytes,
  contentType: optional(Schema.String)
})
export type SendRawRequest = typeof SendRawRequest.Type

export const ReceiveResponse = Schema.Struct({
  data: Bytes,
  contentType: Schema.String,
  epoch: Schema.Number,
  sequence: Schema.Number,
  receivedAt: Schema.Date,
  missed: Schema.Number
})
export type ReceiveResponse = typeof ReceiveResponse.Type

export const SubscribeRequest = Schema.Struct({ topic: Schema.String })
export const SubscribeResponse = Schema.Struct({ event: Bytes, missed: Schema.Number })
export type SubscribeResponse = typeof SubscribeResponse.Type

export const SetTagRequest = Schema.Struct({ id: Schema.String, key: Schema.String, value: Schema.String })
export const TagRequest = Schema.Struct({ id: Schema.String, key: Schema.String })
export const GetTagResponse = Schema.Struct({ value: optional(Schema.String) })
export const SetTagsRequest = Schema.Struct({ id: Schema.String, tags: optional(StringMap) })
export const GetTagsResponse = Schema.Struct({ tags: StringMap })

export const WatchRequest = Schema.Struct({
  ids: optional(Schema.Array(Schema.String)),
  filters: optional(Schema.Array(TagFilter))
})
export type WatchRequest = typeof WatchRequest.Type
export const WatchResponse = Schema.Struct({
  type: Schema.String,
  connectionId: Schema.String,
  instanceId: Schema.String,
  time: Schema.Date,
  attributes: StringMap,
  missed: Schema.Number
})
export type WatchResponse = typeof WatchResponse.Type

export const InstanceStatus = Schema.Literal(
  "INSTANCE_STATUS_ALIVE",
  "INSTANCE_STATUS_SUSPECT",
  "INSTANCE_STATUS_DRAINING",
  "INSTANCE_STATUS_DEAD",
  "INSTANCE_STATUS_LEFT"
)
export type InstanceStatus = typeof InstanceStatus.Type
export const Instance = Schema.Struct({
  id: Schema.String,
  incarnation: Schema.String,
  status: InstanceStatus,
  address: Schema.String,
  connections: Schema.Number,
  startedAt: Schema.Date,
  lastSeenAt: Schema.Date
})
export type Instance = typeof Instance.Type
export const ListInstancesResponse = Schema.Struct({ instances: Schema.Array(Instance) })

export const MigrateRequest = Schema.Struct({ id: Schema.String, targetInstanceId: optional(Schema.String) })
export type MigrateRequest = typeof MigrateRequest.Type

export const DrainMode = Schema.Literal(
  "DRAIN_MODE_UNSPECIFIED",
  "DRAIN_MODE_MIGRATE_CONNECTIONS",
  "DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE"
)
export const DrainRequest = Schema.Struct({ mode: optional(DrainMode), timeoutMs: optional(Schema.Number) })
export type DrainRequest = typeof DrainRequest.Type
export const DrainResponse = Schema.Struct({
  migrated: Schema.Number,
  closed: Schema.Number,
  abandoned: Schema.Number
})
export type DrainResponse = typeof DrainResponse.Type

export const RebalanceRequest = Schema.Struct({
  maxMoves: optional(Schema.Number),
  dryRun: optional(Schema.Boolean)
})
export type RebalanceRequest = typeof RebalanceRequest.Type
export const RebalanceResponse = Schema.Struct({
  moved: Schema.Number,
  failed: Schema.Number,
  connections: Schema.Record({ key: Schema.String, value: Schema.Number })
})
export type RebalanceResponse = typeof RebalanceResponse.Type
