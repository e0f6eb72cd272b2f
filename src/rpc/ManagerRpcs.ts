/**
 * The RPC group: the operations of the contract under the proto's names, with the same fields in camelCase, the same
 * errors and the same streams. Bytes are bytes, times are dates.
 */
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"
import { ManagerError } from "../domain/Errors.js"
import * as M from "../domain/Messages.js"
import type { DoorError, ErrorOf, Method } from "../domain/Methods.js"
import { ConnectRequest } from "../domain/Spec.js"

/**
 * By its type, the errors of the method and of a door. On the wire any error may stand for any method. An owner of a newer
 * version may answer with one that this version does not give here.
 */
const errorOf = <K extends Method>(_method: K) =>
  ManagerError as unknown as Schema.Schema<ErrorOf<K> | DoorError, typeof ManagerError.Encoded>

/** Every operation as an RPC, for the doors and for clients. */
export class ManagerRpcs extends RpcGroup.make(
  // -- lifecycle
  Rpc.make("Connect", { payload: ConnectRequest, success: M.ConnectResponse, error: errorOf("Connect") }),
  Rpc.make("Disconnect", { payload: M.DisconnectRequest, success: M.Empty, error: errorOf("Disconnect") }),
  Rpc.make("Reconnect", { payload: M.WithId, success: M.WithConnection, error: errorOf("Reconnect") }),
  Rpc.make("Get", { payload: M.WithId, success: M.WithConnection, error: errorOf("Get") }),
  Rpc.make("List", { payload: M.ListRequest, success: M.ListResponse, error: errorOf("List") }),
  // -- publishing
  Rpc.make("StartPublish", {
    payload: M.StartPublishRequest,
    success: M.WithConnection,
    error: errorOf("StartPublish")
  }),
  Rpc.make("StopPublish", { payload: M.WithId, success: M.WithConnection, error: errorOf("StopPublish") }),
  // -- messaging
  Rpc.make("Send", { payload: M.SendRequest, success: M.SendResponse, error: errorOf("Send") }),
  Rpc.make("SendRaw", { payload: M.SendRawRequest, success: M.Empty, error: errorOf("SendRaw") }),
  Rpc.make("Receive", { payload: M.WithId, success: M.ReceiveResponse, error: errorOf("Receive"), stream: true }),
  Rpc.make("Subscribe", {
    payload: M.SubscribeRequest,
    success: M.SubscribeResponse,
    error: errorOf("Subscribe"),
    stream: true
  }),
  // -- tags
  Rpc.make("SetTag", { payload: M.SetTagRequest, success: M.Empty, error: errorOf("SetTag") }),
  Rpc.make("GetTag", { payload: M.TagRequest, success: M.GetTagResponse, error: errorOf("GetTag") }),
  Rpc.make("SetTags", { payload: M.SetTagsRequest, success: M.Empty, error: errorOf("SetTags") }),
  Rpc.make("GetTags", { payload: M.WithId, success: M.GetTagsResponse, error: errorOf("GetTags") }),
  Rpc.make("DeleteTag", { payload: M.TagRequest, success: M.Empty, error: errorOf("DeleteTag") }),
  // -- the fleet
  Rpc.make("Watch", { payload: M.WatchRequest, success: M.WatchResponse, error: errorOf("Watch"), stream: true }),
  Rpc.make("ListInstances", { payload: M.Empty, success: M.ListInstancesResponse, error: errorOf("ListInstances") }),
  Rpc.make("Migrate", { payload: M.MigrateRequest, success: M.WithConnection, error: errorOf("Migrate") }),
  Rpc.make("Drain", { payload: M.DrainRequest, success: M.DrainResponse, error: errorOf("Drain") }),
  Rpc.make("Rebalance", { payload: M.RebalanceRequest, success: M.RebalanceResponse, error: errorOf("Rebalance") })
) {}
