/**
 * Looks at what a client sent before the RPC server does. The server itself answers a payload that does not decode, and a
 * method it does not know, with a defect. That may end every other call of that client; here the one call is refused with
 * InvalidRequest. Nothing of the value stands in the answer: it may be large.
 */
import type { FromClientEncoded, RequestEncoded } from "@effect/rpc/RpcMessage"
import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { cut, InvalidRequest } from "../domain/Errors.js"
import type { Method } from "../domain/Methods.js"
import { ManagerRpcs } from "./ManagerRpcs.js"

export interface KnownRequest<Tag extends string = Method> extends RequestEncoded {
  readonly tag: Tag
}

export type Judged<Tag extends string = Method> =
  | { readonly _tag: "Request"; readonly request: KnownRequest<Tag> }
  | { readonly _tag: "Control"; readonly message: FromClientEncoded }
  | { readonly _tag: "Refused"; readonly requestId: string; readonly error: InvalidRequest }
  | { readonly _tag: "Malformed"; readonly reason: string }

const CONTROL = new Set(["Ack", "Interrupt", "Ping", "Eof"])
const isRecord = (u: unknown): u is Record<string, unknown> => typeof u === "object" && u !== null
const isId = (u: unknown): u is string => typeof u === "string" && /^[0-9]{1,40}$/.test(u)

/** The place and the expectation of the first thing wrong. */
const firstIssue = (issue: ParseResult.ParseIssue, path: string): InvalidRequest => {
  switch (issue._tag) {
    case "Pointer": {
      const steps = Array.isArray(issue.path) ? issue.path : [issue.path]
      return firstIssue(issue.issue, [...(path === "" ? [] : [path]), ...steps.map(String)].join("."))
    }
    case "Composite": {
      const inner = (Array.isArray(issue.issues) ? issue.issues : [issue.issues]) as Array<ParseResult.ParseIssue>
      if (issue.ast._tag !== "Union") return firstIssue(inner[0]!, path)
      // an optional field is a union with undefined: what matters is the other member
      const members = inner.filter((i) => !(i._tag === "Type" && i.ast._tag === "UndefinedKeyword"))
      if (members.length !== 1) break
      return firstIssue(members[0]!, path)
    }
    case "Missing":
      return new InvalidRequest({ field: path, reason: "is missing" })
    case "Unexpected":
      return new InvalidRequest({ field: path, reason: "is not known" })
    case "Refinement":
    case "Transformation":
      return firstIssue(issue.issue, path)
  }
  return new InvalidRequest({ field: path, reason: cut(`expected ${String(issue.ast)}`) })
}

interface Group {
  readonly requests: ReadonlyMap<string, unknown>
}
type Decoder = (payload: unknown) => Either.Either<unknown, ParseResult.ParseError>

const decodersOf = (group: Group): ReadonlyMap<string, Decoder> =>
  new Map(
    [...group.requests].map(([tag, rpc]) => [
      tag,
      Schema.decodeUnknownEither((rpc as { readonly payloadSchema: Schema.Schema<unknown, unknown> }).payloadSchema)
    ])
  )

const decoders = decodersOf(ManagerRpcs)

/** The payload of a call, or what is wrong with it. */
export const decodePayload = (tag: Method, payload: unknown): Either.Either<unknown, InvalidRequest> =>
  Either.mapLeft(decoders.get(tag)!(payload), (error) => firstIssue(error.issue, ""))

const encoders = new Map(
  [...ManagerRpcs.requests].map(([tag, rpc]) => [
    tag,
    Schema.encodeUnknownEither(rpc.payloadSchema as Schema.Schema<unknown, unknown>)
  ])
)

const SURROGATE = /\p{Surrogate}/u

/** Where a text stands that has half a surrogate pair: UTF-8 has no form for it, so it would arrive as another text. */
const illFormed = (value: unknown, path: string): string | undefined => {
  if (typeof value === "string") return SURROGATE.test(value) ? path : undefined
  if (!isRecord(value) || value instanceof Uint8Array) return undefined
  for (const [key, member] of Object.entries(value)) {
    const place = path === "" ? key : `${path}.${key}`
    const found = SURROGATE.test(key) ? path : illFormed(member, place)
    if (found !== undefined) return found
  }
  return undefined
}

/** Where an entry is named `__proto__`: neither encoding nor MessagePack would carry it as it is. */
const namedProto = (value: unknown, path: string): string | undefined => {
  if (!isRecord(value) || value instanceof Uint8Array) return undefined
  for (const [key, member] of Object.entries(value)) {
    const place = path === "" ? key : `${path}.${key}`
    const found = key === "__proto__" ? place : namedProto(member, place)
    if (found !== undefined) return found
  }
  return undefined
}

/** Whether a caller's request can go out at all; the client asks this before it sends. */
export const encodablePayload = (tag: Method, payload: unknown): Either.Either<unknown, InvalidRequest> => {
  const named = namedProto(payload, "")
  if (named !== undefined) {
    return Either.left(new InvalidRequest({ field: named, reason: "is a name that not every door can carry" }))
  }
  return encoded(tag, payload)
}

const encoded = (tag: Method, payload: unknown): Either.Either<unknown, InvalidRequest> =>
  Either.flatMap(
    Either.mapLeft(encoders.get(tag)!(payload), (error) => firstIssue(error.issue, "")),
    (encoded) => {
      const field = illFormed(encoded, "")
      if (field === undefined) return Either.right(encoded)
      return Either.left(new InvalidRequest({ field, reason: "has half a surrogate pair" }))
    }
  )

const headersOf = (headers: unknown): ReadonlyArray<[string, string]> =>
  Array.isArray(headers)
    ? headers.filter(
        (h): h is [string, string] => Array.isArray(h) && typeof h[0] === "string" && typeof h[1] === "string"
      )
    : []

const kindOf = (value: unknown): string => (value === null ? "null" : `of type ${typeof value}`)

/** What a message is to a door that serves this group. */
export const judgeOf = <Tag extends string>(group: Group): ((message: unknown) => Judged<Tag>) => {
  const known = decodersOf(group)
  return (message) => judgeBy(known, message) as Judged<Tag>
}

export const judge: (message: unknown) => Judged = judgeOf(ManagerRpcs)

const judgeBy = (known: ReadonlyMap<string, Decoder>, message: unknown): Judged<string> => {
  if (!isRecord(message)) return { _tag: "Malformed", reason: "a message is a map with a _tag" }
  if (message["_tag"] !== "Request") {
    if (typeof message["_tag"] !== "string" || !CONTROL.has(message["_tag"])) {
      return { _tag: "Malformed", reason: "_tag is one of Request, Ack, Interrupt, Ping, Eof" }
    }
    const needsId = message["_tag"] === "Ack" || message["_tag"] === "Interrupt"
    if (needsId && !isId(message["requestId"])) {
      return { _tag: "Malformed", reason: "requestId is the id of a request, in decimal digits" }
    }
    return { _tag: "Control", message: message as unknown as FromClientEncoded }
  }
  const { id, sampled, spanId, tag, traceId } = message
  if (!isId(id)) return { _tag: "Malformed", reason: "id is a string of decimal digits" }
  if (typeof tag !== "string" || !known.has(tag)) {
    // only what is short to write is repeated: the text of a big integer costs the square of its length
    const named = typeof tag === "string" || typeof tag === "number" ? cut(String(tag)) : `that is ${kindOf(tag)}`
    const error = new InvalidRequest({ field: "tag", reason: `there is no method ${named}` })
    return { _tag: "Refused", requestId: id, error }
  }
  const payload = message["payload"] ?? {}
  const decoded = known.get(tag)!(payload)
  if (Either.isLeft(decoded)) return { _tag: "Refused", requestId: id, error: firstIssue(decoded.left.issue, "") }
  const traced = typeof traceId === "string" && typeof spanId === "string"
  return {
    _tag: "Request",
    request: {
      _tag: "Request",
      id,
      tag,
      payload,
      headers: headersOf(message["headers"]),
      ...(traced ? { traceId, spanId, sampled: sampled === true } : {})
    }
  }
}
