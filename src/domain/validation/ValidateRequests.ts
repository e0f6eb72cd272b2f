/** The parts of requests that many operations share, from loose to checked. */
import * as Either from "effect/Either"
import { parseUuid } from "../../common/Uuid.js"
import { CALLER } from "../Limits.js"
import type { SendRawRequest, SendRequest, TagFilter } from "../Messages.js"
import type { ResolvedCorrelation } from "../Spec.js"
import {
  atMost,
  type Checked,
  duration,
  entryName,
  every,
  hasControl,
  MAX_MESSAGE_BYTES,
  must,
  ok,
  printable,
  refuse,
  sendableCode,
  text,
  uint32,
  utf8
} from "./Check.js"
import { resolveCorrelation } from "./ValidatePolicies.js"

/** The canonical id of a connection: a UUID of any version, in any case. */
export const checkId = (id: string, field = "id"): Checked<string> => {
  const canonical = parseUuid(id)
  return canonical === undefined ? refuse(field, "is not a UUID") : Either.right(canonical)
}

/** The idempotency key; empty is none. */
export const checkRequestId = (requestId: string | undefined): Checked<string | undefined> =>
  requestId === undefined || requestId === "" ? Either.right(undefined) : text("requestId", requestId, 256)

/** A topic; empty only where it means "not publishing". */
export const checkTopic = (topic: string, empty: "allowed" | "refused" = "refused"): Checked<string> =>
  Either.gen(function* () {
    yield* must(topic !== "" || empty === "allowed", "topic", "is empty")
    yield* must(!hasControl(topic), "topic", "has control characters")
    return yield* text("topic", topic, 256)
  })

export const MAX_TAGS = 50
const MAX_TAG_VALUE = 1024

export const checkTags = (
  tags: Readonly<Record<string, string>> | undefined
): Checked<Readonly<Record<string, string>>> => {
  const entries = Object.entries(tags ?? {})
  return Either.gen(function* () {
    yield* must(entries.length <= MAX_TAGS, "tags", `are ${entries.length}, over ${MAX_TAGS}`)
    yield* every(entries, ([key, value]) => checkTag(key, value, key === "" ? "tags" : `tags.${printable(key)}`))
    return tags ?? {}
  })
}

/** One tag, as SetTag names its fields, or as a member of a map that is called `field`. */
export const checkTag = (key: string, value: string, field?: string): Checked<void> =>
  Either.gen(function* () {
    yield* checkTagKey(key, field)
    yield* entryName(field ?? "key", key)
    yield* text(field ?? "value", value, MAX_TAG_VALUE)
  })

export const checkTagKey = (key: string, field = "key"): Checked<string> =>
  key === "" ? refuse(field, "the key is empty") : text(field, key, 128)

export const checkFilters = (filters: ReadonlyArray<TagFilter> = []): Checked<ReadonlyArray<TagFilter>> =>
  Either.gen(function* () {
    yield* atMost("filters", filters.length, CALLER.FILTERS, "filters")
    yield* every(filters, (filter, i) =>
      Either.flatMap(checkTagKey(filter.key, `filters[${i}].key`), () =>
        text(`filters[${i}].value`, filter.value, MAX_TAG_VALUE)
      )
    )
    return filters
  })

/** Watch: the ids to follow, in canonical form; none is all. */
export const checkIds = (ids: ReadonlyArray<string> = []): Checked<ReadonlyArray<string>> =>
  Either.flatMap(atMost("ids", ids.length, CALLER.IDS, "ids"), () =>
    Either.all(ids.map((id, i) => checkId(id, `ids[${i}]`)))
  )

/** The close code and reason that a caller may send to a peer. */
export const checkClose = (
  code: number | undefined,
  reason: string | undefined = ""
): Checked<{ readonly code: number; readonly reason: string }> =>
  Either.gen(function* () {
    const checked = yield* uint32("code", code, 1000)
    yield* sendableCode("code", checked)
    yield* text("reason", reason)
    yield* must(Buffer.byteLength(reason) <= 123, "reason", "is over 123 bytes")
    return { code: checked, reason }
  })

/** Milliseconds; absent and 0 are the default. */
export const checkTimeout = (timeoutMs: number | undefined, absent: number): Checked<number> =>
  duration("timeoutMs", timeoutMs, absent, { max: CALLER.TIMEOUT_MS })

/** What a message is said to be; it may be shown, and stand in a header. */
const checkContentType = (contentType: string | undefined = ""): Checked<void> =>
  Either.gen(function* () {
    yield* must(!hasControl(contentType), "contentType", "has control characters")
    yield* text("contentType", contentType, 256)
  })

/** Whether a message of this content type travels as a text frame; absent is text. */
export const isTextual = (contentType: string | undefined): boolean => {
  const essence = (contentType ?? "").split(";", 1)[0]!.trim().toLowerCase()
  return essence === "" || essence.startsWith("text/") || essence === "application/json"
}

export interface CheckedMessage {
  readonly id: string
  readonly message: Uint8Array
  readonly binary: boolean
}

/** SendRaw: any message, an empty one too. */
export const checkSendRaw = (request: SendRawRequest): Checked<CheckedMessage> =>
  Either.gen(function* () {
    const id = yield* checkId(request.id)
    yield* checkSize(request.message)
    yield* checkContentType(request.contentType)
    const binary = !isTextual(request.contentType)
    if (!binary) yield* utf8("message", request.message)
    return { id, message: request.message, binary }
  })

export interface CheckedSend extends CheckedMessage {
  readonly timeoutMs: number
  readonly correlation: ResolvedCorrelation
}

/** Send over a connection whose own correlation is `base`. */
export const checkSend = (request: SendRequest, base?: ResolvedCorrelation): Checked<CheckedSend> =>
  Either.gen(function* () {
    const id = yield* checkId(request.id)
    const correlation = yield* resolveCorrelation(request.correlation, base)
    const timeoutMs = yield* checkTimeout(request.timeoutMs, 10_000)
    const { message } = request
    yield* checkSize(message)
    yield* must(message.length > 0 || correlation.mode === "next", "message", "is empty")
    yield* checkContentType(request.contentType)
    const binary = correlation.mode === "prefix" || !isTextual(request.contentType)
    const readAsText = correlation.mode === "json-field" || correlation.mode === "envelope"
    if (!binary || readAsText) yield* utf8("message", message)
    return { id, message, binary, timeoutMs, correlation }
  })

const checkSize = (message: Uint8Array): Checked<void> =>
  message.length <= MAX_MESSAGE_BYTES ? ok : refuse("message", `is over ${MAX_MESSAGE_BYTES} bytes`)
