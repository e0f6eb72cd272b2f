/**
 * The operations of the contract under their names on the wire: the types of what is asked and answered, and the names as
 * data. The doors, the client and the peers know these; what each does stands in manager/Operations.ts.
 */
import type * as M from "./Messages.js"
import type { ConnectRequest } from "./Spec.js"

type Id = typeof M.WithId.Type
export type Shown = typeof M.WithConnection.Type
export type Nothing = typeof M.Empty.Type

/** Request and answer of each unary method. */
export interface UnaryTypes {
  readonly Connect: readonly [ConnectRequest, M.ConnectResponse]
  readonly Disconnect: readonly [M.DisconnectRequest, Nothing]
  readonly Reconnect: readonly [Id, Shown]
  readonly Get: readonly [Id, Shown]
  readonly List: readonly [M.ListRequest, M.ListResponse]
  readonly StartPublish: readonly [M.StartPublishRequest, Shown]
  readonly StopPublish: readonly [Id, Shown]
  readonly Send: readonly [M.SendRequest, M.SendResponse]
  readonly SendRaw: readonly [M.SendRawRequest, Nothing]
  readonly SetTag: readonly [typeof M.SetTagRequest.Type, Nothing]
  readonly GetTag: readonly [typeof M.TagRequest.Type, typeof M.GetTagResponse.Type]
  readonly SetTags: readonly [typeof M.SetTagsRequest.Type, Nothing]
  readonly GetTags: readonly [Id, typeof M.GetTagsResponse.Type]
  readonly DeleteTag: readonly [typeof M.TagRequest.Type, Nothing]
  readonly ListInstances: readonly [Nothing, typeof M.ListInstancesResponse.Type]
  readonly Migrate: readonly [M.MigrateRequest, Shown]
  readonly Drain: readonly [M.DrainRequest, M.DrainResponse]
  readonly Rebalance: readonly [M.RebalanceRequest, M.RebalanceResponse]
}

/** Request and item of each streaming method. */
export interface StreamTypes {
  readonly Receive: readonly [Id, M.ReceiveResponse]
  readonly Subscribe: readonly [typeof M.SubscribeRequest.Type, M.SubscribeResponse]
  readonly Watch: readonly [M.WatchRequest, M.WatchResponse]
}

export type UnaryMethod = keyof UnaryTypes

export type StreamMethod = keyof StreamTypes

export type Method = UnaryMethod | StreamMethod

/** Complete by its type; the order is that of the contract. */
const UNARY: { readonly [K in UnaryMethod]: true } = {
  Connect: true,
  Disconnect: true,
  Reconnect: true,
  Get: true,
  List: true,
  StartPublish: true,
  StopPublish: true,
  Send: true,
  SendRaw: true,
  SetTag: true,
  GetTag: true,
  SetTags: true,
  GetTags: true,
  DeleteTag: true,
  ListInstances: true,
  Migrate: true,
  Drain: true,
  Rebalance: true
}

const STREAMS: { readonly [K in StreamMethod]: true } = {
  Receive: true,
  Subscribe: true,
  Watch: true
}

export const UNARY_METHODS = Object.keys(UNARY) as ReadonlyArray<UnaryMethod>
export const STREAM_METHODS = Object.keys(STREAMS) as ReadonlyArray<StreamMethod>
export const isUnaryMethod = (method: string): method is UnaryMethod => Object.hasOwn(UNARY, method)
export const isStreamMethod = (method: string): method is StreamMethod => Object.hasOwn(STREAMS, method)
