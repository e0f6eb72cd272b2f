/** UUIDs: time-ordered ones for whatever is minted here, name-based ones for whatever a caller repeats. */
import { createHash, randomUUID } from "node:crypto"

/** A UUIDv7 of this time (milliseconds since 1970): sorts by time, the rest is random. */
export const uuidv7 = (nowMillis: number): string => {
  const time = Math.max(0, Math.floor(nowMillis)).toString(16).padStart(12, "0")
  // randomUUID draws from a stock of random bytes, for an eighth of what sixteen fresh ones cost; join makes one flat
  // string, a template would keep a tree of small ones for as long as the id lives
  return [time.slice(0, 8), time.slice(8), `7${randomUUID().slice(15)}`].join("-")
}

/** The connection id that a request_id makes: the same over the whole fleet, so create-if-absent is the idempotency. */
export const uuidv8FromRequest = (requestId: string): string => {
  const bytes = createHash("sha256").update(`websocketmanager:request:${requestId}`).digest()
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString("hex", 0, 16)
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The canonical, lower-case form of a UUID of any version in any case; undefined when the text is none. */
export const parseUuid = (text: string): string | undefined => {
  if (text.length !== 36) return undefined
  const lower = text.toLowerCase()
  return UUID.test(lower) ? lower : undefined
}
