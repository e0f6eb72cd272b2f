/**
 * What both RPC doors and the client put on the wire. That is MessagePack, with bytes as bytes, and the encoded forms of an
 * answer that does not come from a handler.
 */
import type { FromServerEncoded } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Schema from "effect/Schema"
import { ManagerError } from "../domain/Errors.js"
import * as Scan from "./MsgPackScan.js"

/** The largest request or answer: a message of 16 MiB and what stands around it. */
export const MAX_BODY_BYTES = 24 * 1024 * 1024

/** Whether the RPC client can take it as a server's message: the client itself looks at no more than the tag. */
const isAnswer = (message: unknown): boolean => {
  if (typeof message !== "object" || message === null) return false
  const { _tag, exit, requestId, values } = message as Record<string, unknown>
  if (_tag === "Pong" || _tag === "Defect") return true
  if (typeof requestId !== "string" || !/^[0-9]{1,40}$/.test(requestId)) return false
  return _tag === "Chunk" ? Array.isArray(values) : _tag === "Exit" && typeof exit === "object" && exit !== null
}

/** Plain maps are read too, so that a MessagePack library of any language can write a request. */
const unscanned = RpcSerialization.makeMsgPack({
  useRecords: true,
  mapsAsObjects: true,
  maxBufferSize: MAX_BODY_BYTES
})

/** Decodes what passes the scan, whole messages at a time; throws `NotMessagePack`. */
const scanned = (
  limits: Scan.ScanLimits,
  admits: (message: unknown) => boolean = () => true
): RpcSerialization.RpcSerialization["Type"] => ({
  ...unscanned,
  unsafeMake: () => {
    const scan = Scan.make(limits)
    let stock = unscanned.unsafeMake()
    return {
      encode: (message) => stock.encode(message),
      decode: (bytes) => {
        const messages = scan(typeof bytes === "string" ? Buffer.from(bytes) : bytes)
        const decoded = stock.decode(bytes)
        if (decoded.length === messages) {
          if (decoded.every(admits)) return decoded
          throw new Scan.NotMessagePack("is no message of a server", false)
        }
        // a decoder that waits for more would put what it has before the next message
        stock = unscanned.unsafeMake()
        throw new Scan.NotMessagePack("is not one or more whole MessagePack messages", false)
      }
    }
  }
})

/** What a caller sends in one HTTP body, and in one WebSocket message. */
export const bodies = scanned(Scan.BODY)
export const frames = scanned(Scan.FRAME)
/** What a manager or a peer answers. */
export const answers = scanned(Scan.ANSWER, isAnswer)

/** A client that sets this header on a streaming call gets one empty chunk when the stream has begun. */
export const OPENED_HEADER = "websocketmanager-opened"

/** The header by which a door tells its handlers which client calls, as far as a socket can say. */
export const CLIENT_HEADER = "websocketmanager-client"

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

/** Node's errors, by their codes, for a certificate of an authority that is not trusted here. */
export const isUntrusted = (code: string): boolean => /CERT|SELF_SIGNED|ISSUER/.test(code)

export const TRUST_IT = "name its authority in NODE_EXTRA_CA_CERTS"
