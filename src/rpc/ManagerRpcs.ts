/**
 * The RPC group: the operations of the contract under the proto's names, with the same fields in camelCase, the same
 * errors and the same streams. Bytes are bytes, times are dates.
 */
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import { ManagerError } from "../domain/Errors.js"
import * as M from "../domain/Messages.js"
import { ConnectRequest } from "../domain/Spec.js"

const error = ManagerError

/** Every operation as an RPC, for the doors and for clients. */
export class ManagerRpcs extends RpcGroup.make(
  // -- lifecycle
  Rpc.make("Connect", { payload: ConnectRequest, success: M.ConnectResponse, error }),
  Rpc.make("Disconnect", { payload: M.DisconnectRequest, success: M.Empty, error }),
  Rpc.make("Reconnect", { payload: M.WithId, success: M.WithConnection, error }),
  Rpc.make("Get", { payload: M.WithId, success: M.WithConnection, error }),
  Rpc.make("List", { payload: M.ListRequest, success: M.ListResponse, error }),
  // -- publishing
  Rpc.make("StartPublish", { payload: M.StartPublishRequest, success: M.WithConnection, error }),
  Rpc.make("StopPublish", { payload: M.WithId, success: M.WithConnection, error }),
  // -- messaging
  Rpc.make("Send", { payload: M.SendRequest, success: M.SendResponse, error }),
  Rpc.make("SendRaw", { payload: M.SendRawRequest, success: M.Empty, error }),
  Rpc.make("Receive", { payload: M.WithId, success: M.ReceiveResponse, error, stream: true }),
  Rpc.make("Subscribe", { payload: M.SubscribeRequest, success: M.SubscribeResponse, error, stream: true }),
  // -- tags
  Rpc.make("SetTag", { payload: M.SetTagRequest, success: M.Empty, error }),
  Rpc.make("GetTag", { payload: M.TagRequest, success: M.GetTagResponse, error }),
  Rpc.make("SetTags", { payload: M.SetTagsRequest, success: M.Empty, error }),
  Rpc.make("GetTags", { payload: M.WithId, success: M.GetTagsResponse, error }),
  Rpc.make("DeleteTag", { payload: M.TagRequest, success: M.Empty, error }),
  // -- the fleet
  Rpc.make("Watch", { payload: M.WatchRequest, success: M.WatchResponse, error, stream: true }),
  Rpc.make("ListInstances", { payload: M.Empty, success: M.ListInstancesResponse, error }),
  Rpc.make("Migrate", { payload: M.MigrateRequest, success: M.WithConnection, error }),
  Rpc.make("Drain", { payload: M.DrainRequest, success: M.DrainResponse, error }),
  Rpc.make("Rebalance", { payload: M.RebalanceRequest, success: M.RebalanceResponse, error })
) {}
