/**
 * What instances of one fleet say to each other at `/rpc/peers`: the peers' own operations, and the manager's under their own
 * names. A manager's operation asked here has been forwarded: the path is the hop mark, and it is never forwarded again.
 */
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"
import { parseUuid } from "../common/Uuid.js"
import { ManagerError } from "../domain/Errors.js"
import { SendRequest, SendResponse } from "../domain/Messages.js"
import { isInstanceId, isPeerAddress } from "../domain/Peer.js"
import { ManagerRpcs } from "./ManagerRpcs.js"

const From = Schema.Struct({
  id: Schema.String.pipe(Schema.filter(isInstanceId)),
  incarnation: Schema.String.pipe(Schema.filter((text) => parseUuid(text) === text)),
  address: Schema.String.pipe(Schema.filter(isPeerAddress))
})
/** null: it has none */
const incarnation = Schema.NullOr(Schema.String)

const SendProgress = Schema.Union(
  Schema.TaggedStruct("Sent", {}),
  Schema.TaggedStruct("Replied", { response: SendResponse })
)

export class PeerRpcs extends RpcGroup.make(
  Rpc.make("PeerHello", {
    payload: { from: From },
    success: Schema.Struct({ incarnation, counted: Schema.Boolean, acts: Schema.Boolean })
  }),
  Rpc.make("PeerAsk", {
    payload: { from: From },
    success: Schema.Struct({
      incarnation,
      verdict: Schema.NullOr(Schema.Literal("fenced", "reached", "not-reached"))
    })
  }),
  Rpc.make("PeerTake", {
    payload: {
      from: From,
      handover: Schema.Struct({ id: Schema.String, epoch: Schema.Number, overlap: Schema.Boolean })
    },
    success: Schema.Boolean
  }),
  Rpc.make("PeerMoved", {
    payload: { from: From, id: Schema.String, epoch: Schema.Number },
    success: Schema.Boolean
  }),
  Rpc.make("PeerSend", { payload: SendRequest, success: SendProgress, error: ManagerError, stream: true })
).merge(ManagerRpcs) {}

/** How many milliseconds the caller of a forwarded call will still wait; without it, as long as the link stands. */
export const DEADLINE_HEADER = "websocketmanager-deadline-ms"

/** Where the door is. */
export const PEERS_PATH = "/rpc/peers"
