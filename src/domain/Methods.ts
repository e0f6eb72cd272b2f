/**
 * The operations of the contract under their names on the wire. Here are the types of what is asked and answered, the
 * errors, and the names as data. The doors, the client and the peers know these; what each does stands in
 * manager/Operations.ts.
 */
import type * as E from "./Errors.js"
import type * as M from "./Messages.js"
import type { ConnectRequest } from "./Spec.js"

type Id = typeof M.WithId.Type
export type Shown = typeof M.WithConnection.Type
export type Nothing = typeof M.Empty.Type

/** Of every call but those that set memory free: this instance is full. */
type Full = E.QuotaExceeded
/** What is read of one connection, at any instance. */
type ReadError = E.InvalidRequest | E.ConnectionNotFound | E.StateStoreUnavailable | Full
/** What its owner must do. */
type AtOwnerError = ReadError | E.OwnerUnreachable
/** What its owner must write; a call that waited its turn may find the connection given away. */
type ChangeError = AtOwnerError | E.InstanceDraining
type DialError = E.DialFailed | E.TargetForbidden | E.ConnectionNotOpen | E.InstanceDraining
type OutgoingError = E.ConnectionNotOpen | E.BufferFull

/** Beyond those of the operation, what a door may answer in its place: to a call without the right token, or over a quota. */
export type DoorError = E.Unauthenticated | E.PermissionDenied | E.QuotaExceeded | E.NotAvailable | E.InvalidRequest

/**
 * Request, answer and errors of each unary method. An owner of a newer version may answer with an error beyond these, so that
 * the wire carries every `ManagerError` for every method.
 */
export interface UnaryTypes {
  readonly Connect: readonly [ConnectRequest, M.ConnectResponse, AtOwnerError | DialError | E.PermissionDenied]
  readonly Disconnect: readonly [M.DisconnectRequest, Nothing, AtOwnerError]
  readonly Reconnect: readonly [Id, Shown, AtOwnerError | DialError]
  readonly Get: readonly [Id, Shown, AtOwnerError]
  readonly List: readonly [M.ListRequest, M.ListResponse, E.InvalidRequest | E.StateStoreUnavailable | Full]
  readonly StartPublish: readonly [M.StartPublishRequest, Shown, ChangeError | E.PermissionDenied]
  readonly StopPublish: readonly [Id, Shown, ChangeError]
  readonly Send: readonly [M.SendRequest, M.SendResponse, AtOwnerError | OutgoingError | E.SendTimeout | E.SendAborted]
  readonly SendRaw: readonly [M.SendRawRequest, Nothing, AtOwnerError | OutgoingError]
  readonly SetTag: readonly [typeof M.SetTagRequest.Type, Nothing, ChangeError]
  readonly GetTag: readonly [typeof M.TagRequest.Type, typeof M.GetTagResponse.Type, ReadError]
  readonly SetTags: readonly [typeof M.SetTagsRequest.Type, Nothing, ChangeError]
  readonly GetTags: readonly [Id, typeof M.GetTagsResponse.Type, ReadError]
  readonly DeleteTag: readonly [typeof M.TagRequest.Type, Nothing, ChangeError]
  readonly ListInstances: readonly [Nothing, typeof M.ListInstancesResponse.Type, E.StateStoreUnavailable | Full]
  readonly Migrate: readonly [M.MigrateRequest, Shown, AtOwnerError | E.NoTarget]
  readonly Drain: readonly [M.DrainRequest, M.DrainResponse, E.InvalidRequest]
  readonly Rebalance: readonly [
    M.RebalanceRequest,
    M.RebalanceResponse,
    E.InvalidRequest | E.InstanceDraining | E.StateStoreUnavailable | Full
  ]
}

/** Request, item and errors of each streaming method, to its beginning and of the stream itself. */
export interface StreamTypes {
  readonly Receive: readonly [Id, M.ReceiveResponse, AtOwnerError]
  readonly Subscribe: readonly [
    typeof M.SubscribeRequest.Type,
    M.SubscribeResponse,
    E.InvalidRequest | E.NotAvailable | Full
  ]
  readonly Watch: readonly [M.WatchRequest, M.WatchResponse, E.InvalidRequest | Full]
}

export type UnaryMethod = keyof UnaryTypes

export type StreamMethod = keyof StreamTypes

export type Method = UnaryMethod | StreamMethod

/** What this method may fail with. */
export type ErrorOf<K extends Method> = K extends UnaryMethod
  ? UnaryTypes[K][2]
  : K extends StreamMethod
    ? StreamTypes[K][2]
    : never

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
