/** Gives a message the id that its reply will carry: read where it stands, or put in. */
import * as Either from "effect/Either"
import { isUtf8 } from "node:buffer"
import { randomBytes } from "node:crypto"
import { InvalidRequest } from "../../domain/Errors.js"
import { find, insertField, isJson, parsePath, type Path } from "../../domain/json/JsonPath.js"
import { FEED } from "../../domain/Limits.js"
import {
  type CorrelatorRequest,
  envelope,
  type Group,
  jsonField,
  jsonKey,
  prefix,
  PREFIX_BYTES
} from "./ReplyMatcher.js"

/** A message that is ready to go, and where its reply will be looked for. */
export interface Prepared {
  readonly groupKey: string
  readonly group: Group
  readonly key: string
  readonly message: Uint8Array
  readonly binary: boolean
}

type Result<A> = Either.Either<A, InvalidRequest>

const refuse = (field: string, reason: string): Either.Either<never, InvalidRequest> =>
  Either.left(new InvalidRequest({ field, reason }))

/** `groups` are those in which a request waits; `unusedId` gives a positive integer that is in flight nowhere. */
export const prepare = (
  request: CorrelatorRequest<unknown>,
  groups: ReadonlyMap<string, Group>,
  unusedId: () => number
): Result<Prepared> => {
  const { correlation, message } = request
  if (message.length === 0) return refuse("message", "is empty")
  switch (correlation.mode) {
    case "json-field":
      return intoJsonField(request, groups, unusedId)
    case "envelope":
      return Either.map(text(message), (content) => {
        const id = String(unusedId())
        const wrapped = Buffer.from(`{"id":${id},"message":${JSON.stringify(content)}}`)
        const group = groups.get("envelope") ?? envelope()
        return { groupKey: "envelope", group, key: id, message: wrapped, binary: request.binary }
      })
    default: {
      const id = uuid()
      const prefixed = Buffer.concat([id, message])
      const group = groups.get("prefix") ?? prefix()
      return Either.right({ groupKey: "prefix", group, key: id.toString("latin1"), message: prefixed, binary: true })
    }
  }
}

const intoJsonField = (
  request: CorrelatorRequest<unknown>,
  groups: ReadonlyMap<string, Group>,
  unusedId: () => number
): Result<Prepared> =>
  Either.gen(function* () {
    const { replyPath, requestPath } = request.correlation
    const at = yield* path("correlation.requestPath", requestPath)
    const groupKey = `json-field ${replyPath}`
    const group = groups.get(groupKey) ?? jsonField(yield* path("correlation.replyPath", replyPath))
    const content = yield* text(request.message)
    if (!OBJECT.test(content)) return yield* refuse("message", "is not a JSON object")

    const given = find(content, at)
    if (given !== undefined) {
      const key = jsonKey(content, given)
      if (group.waiters.has(key)) return yield* refuse("message", `a Send with the id at ${requestPath} is in flight`)
      return { groupKey, group, key, message: request.message, binary: request.binary }
    }
    const key = String(unusedId())
    const filled = insertField(content, at, key)
    if (filled === undefined) {
      return yield* isJson(content)
        ? refuse("message", `an id cannot be put in at ${requestPath}`)
        : refuse("message", `is not a JSON object, or nested deeper than ${FEED.JSON_DEPTH}`)
    }
    return { groupKey, group, key, message: Buffer.from(filled), binary: request.binary }
  })

const OBJECT = /^[ \t\n\r]*\{/

const path = (field: string, value: string): Result<Path> =>
  Either.mapLeft(parsePath(value), (reason) => new InvalidRequest({ field, reason }))

const text = (message: Uint8Array): Result<string> => {
  if (!isUtf8(message)) return refuse("message", "is not UTF-8")
  return Either.right(Buffer.from(message.buffer, message.byteOffset, message.length).toString("utf8"))
}

/** A random UUID (version 4) as its bytes. */
const uuid = (): Buffer => {
  const bytes = randomBytes(PREFIX_BYTES)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes
}
