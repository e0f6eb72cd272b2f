/**
 * What a failed call answers: the gRPC status of `ERROR_TABLE`, and a `google.rpc.Status` with a `google.rpc.ErrorInfo` in
 * the trailer `grpc-status-details-bin`. By these details clients of any language tell the errors apart.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import { Metadata, status } from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import { ERROR_TABLE, errorFields, type ManagerError } from "../../domain/Errors.js"

/** As grpc-js takes it, for a callback and for the `error` event of a stream. */
export interface GrpcStatus {
  readonly code: number
  readonly details: string
  readonly metadata?: Metadata
}

const DETAILS = "grpc-status-details-bin"
const DOMAIN = "websocketmanager"

/** Trailers travel as headers, which common clients refuse beyond 8 KiB. */
const MAX_TEXT = 512

/** A tag as `ErrorInfo.reason`: ConnectionNotFound is CONNECTION_NOT_FOUND. */
export const reasonOf = (tag: string): string => tag.replace(/(?<=[a-z0-9])(?=[A-Z])/g, "_").toUpperCase()

/** Short, and without halves of surrogate pairs: grpc-js would throw on one while it escapes the text. */
const clean = (text: string): string => text.slice(0, MAX_TEXT).replace(/\p{Surrogate}/gu, "\uFFFD")

/** ErrorInfo { reason = 1, domain = 2, metadata = 3 } */
const errorInfo = (error: ManagerError): Uint8Array => {
  const writer = new BinaryWriter()
  writer.tag(1, WireType.LengthDelimited).string(reasonOf(error._tag))
  writer.tag(2, WireType.LengthDelimited).string(DOMAIN)
  for (const [key, value] of Object.entries(errorFields(error))) {
    writer.tag(3, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.LengthDelimited).string(key)
    writer.tag(2, WireType.LengthDelimited).string(value)
    writer.join()
  }
  return writer.finish()
}

/** Status { code = 1, message = 2, details = 3 }, with one Any { type_url = 1, value = 2 } in it. */
const rpcStatus = (code: number, message: string, info: Uint8Array): Uint8Array => {
  const writer = new BinaryWriter()
  writer.tag(1, WireType.Varint).int32(code)
  writer.tag(2, WireType.LengthDelimited).string(message)
  writer.tag(3, WireType.LengthDelimited).fork()
  writer.tag(1, WireType.LengthDelimited).string("type.googleapis.com/google.rpc.ErrorInfo")
  writer.tag(2, WireType.LengthDelimited).bytes(info)
  writer.join()
  return writer.finish()
}

export const statusOfError = (error: ManagerError): GrpcStatus => {
  const code = ERROR_TABLE[error._tag].grpc
  const details = clean(error.message)
  const metadata = new Metadata()
  metadata.set(DETAILS, Buffer.from(rpcStatus(code, details, errorInfo(error))))
  return { code, details, metadata }
}

/**
 * Only typed errors tell what happened. A defect's text stays in the log; a call that the stop of this instance ended may
 * be repeated elsewhere.
 */
export const statusOf = (cause: Cause.Cause<ManagerError>): GrpcStatus => {
  const failure = Cause.failureOption(cause)
  if (Option.isSome(failure)) return statusOfError(failure.value)
  return Cause.isInterruptedOnly(cause)
    ? { code: status.UNAVAILABLE, details: "the instance is stopping; ask another instance" }
    : { code: status.INTERNAL, details: "the call failed unexpectedly; the log of this instance says more" }
}
