/**
 * What both RPC doors and the client put on the wire: MessagePack, bytes as bytes, and the encoded forms of an answer that
 * does not come from a handler.
 */
import type { FromServerEncoded } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { ManagerError } from "../../domain/Errors.js"

/** The largest request or answer: a message of 16 MiB and what stands around it. */
export const MAX_BODY_BYTES = 24 * 1024 * 1024

/** Plain maps are read too, so that a MessagePack library of any language can write a request. */
export const serialization: RpcSerialization.RpcSerialization["Type"] = RpcSerialization.makeMsgPack({
  useRecords: true,
  mapsAsObjects: true,
  maxBufferSize: MAX_BODY_BYTES
})
export const layer: Layer.Layer<RpcSerialization.RpcSerialization> = Layer.succeed(
  RpcSerialization.RpcSerialization,
  serialization
)

/** A client that sets this header on a streaming call gets one empty chunk when the stream has begun. */
export const OPENED_HEADER = "websocketmanager-opened"

const encodeError = Schema.encodeSync(ManagerError)
const encodeDefect = Schema.encodeSync(Schema.Defect)

export const failed = (requestId: string, error: ManagerError): FromServerEncoded => ({
  _tag: "Exit",
  requestId,
  exit: { _tag: "Failure", cause: { _tag: "Fail", error: encodeError(error) } }
})

export const died = (requestId: string, defect: unknown): FromServerEncoded => ({
  _tag: "Exit",
  requestId,
  exit: { _tag: "Failure", cause: { _tag: "Die", defect: encodeDefect(defect) } }
})
