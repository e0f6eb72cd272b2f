/** What the sidecar's answer to a publish means for the events that were in it. */
import type { PublishFailure } from "../../../ports/PubSub.js"
import { messageOf, TOKEN_HINT } from "../sidecar/Metadata.js"
import type { Answer } from "./PostPool.js"

/**
 * `taken`: all of them. `entries`: these were not (places in the request). `refused`: not one was taken, and repeating the
 * same will not help. `failed`: nothing is known of any, and repeating may help.
 */
export type PublishOutcome =
  | { readonly _tag: "taken" }
  | { readonly _tag: "entries"; readonly failures: ReadonlyArray<PublishFailure> }
  | { readonly _tag: "refused"; readonly reason: string; /** of each, whatever it holds */ readonly all: boolean }
  | { readonly _tag: "failed"; readonly reason: string; readonly sent: boolean }

export const outcomeOf = (answer: Answer, entries: number): PublishOutcome => {
  const { body, sent, status } = answer
  if (status >= 200 && status < 300) return TAKEN
  if (status === 0) return { _tag: "failed", reason: body, sent }
  const document = parsed(body)
  const failures = failuresOf(document, entries)
  if (failures !== undefined) return { _tag: "entries", failures }
  const code = typeof document.errorCode === "string" ? document.errorCode : ""
  const malformed = MALFORMED.has(code)
  const reason = `the sidecar answers ${status}${code && ` ${code}`}: ${explained(messageOf(body), malformed)}`
  // The component is gone (it is being loaded anew, or failed): that says nothing about the events.
  if (COMPONENT_GONE.has(code)) return { _tag: "failed", reason, sent: true }
  const denied = status === 400 || status === 403 || status === 404
  if ((denied && code !== "") || status === 413 || malformed || isTooLarge(body)) {
    return { _tag: "refused", reason, all: status === 403 || status === 404 }
  }
  const hint = denied ? STRANGER_HINT : status === 401 ? TOKEN_HINT : ""
  return { _tag: "failed", reason: `${reason}${hint}`, sent: true }
}

const TAKEN: PublishOutcome = { _tag: "taken" }
/**
 * Dapr's publish API refuses an event with a code. An answer without a code came from something else: it says nothing of
 * the events.
 */
const STRANGER_HINT =
  " (not an answer of Dapr's publish API: see that the sidecar's Configuration allows publish in spec.api.allowed, and that DAPR_HTTP_PORT is the sidecar's)"
const COMPONENT_GONE = new Set(["ERR_PUBSUB_NOT_FOUND", "ERR_PUBSUB_NOT_CONFIGURED"])
/**
 * The sidecar says this, with a status of 500, of an event that was cut off. Of a body one byte over its limit the sidecar
 * goes on with what it has read.
 */
const MALFORMED = new Set(["ERR_PUBSUB_CLOUD_EVENTS_SER"])
/** The words of the sidecar, NATS, Kafka, RabbitMQ, Azure and AWS for what is said with the status of a failure. */
const TOO_LARGE =
  /stream too large|body too large|maximum payload exceeded|message( size)?( was)? too large|MessageSizeExceeded|message larger than|exceeds? .*(max|limit).*(size|bytes)|must be shorter than \d+ bytes/i

const isTooLarge = (text: string): boolean => TOO_LARGE.test(text)
const explained = (text: string, tooLarge = false): string =>
  tooLarge || isTooLarge(text)
    ? `${text} (larger than sidecar or broker take: WSM_PUBLISH_MAX_BYTES is above their limit, which daprd has from --max-body-size)`
    : text

const failuresOf = (document: Document, entries: number): ReadonlyArray<PublishFailure> | undefined => {
  if (!Array.isArray(document.failedEntries) || document.failedEntries.length === 0) return undefined
  const failures: Array<PublishFailure> = []
  for (const { entryId, error } of document.failedEntries as ReadonlyArray<{ entryId?: unknown; error?: unknown }>) {
    const index = Number(entryId)
    // An answer that names another entry cannot be relied on.
    if (!Number.isInteger(index) || index < 0 || index >= entries) return undefined
    const text = messageOf(typeof error === "string" && error !== "" ? error : "the broker did not take it")
    failures.push({ index, transient: !isTooLarge(text), reason: explained(text) })
  }
  return failures
}

interface Document {
  readonly errorCode?: unknown
  readonly failedEntries?: unknown
}

const parsed = (body: string): Document => {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === "object" && value !== null ? value : {}
  } catch {
    return {}
  }
}
