/**
 * How texts and keys stand in a Dapr state store.
 *
 * A version is the digest of the stored text, so it is known before a write and the same for every reader. That needs
 * every stored text to be written once in its life. A JSON object with a `nonce` is so by itself, and stands there byte for
 * byte; any other text stands in an envelope with a nonce. A removed key holds a tombstone, since a store may let a stale
 * version make a deleted key anew.
 */
import { hash, randomUUID } from "node:crypto"
import type { Version } from "../../../ports/StateStore.js"

const TEXT = '{"v":1,"text":'
const REMOVED = '{"v":1,"removed":true,'

/** The text to store for a value. */
export const encode = (value: string): string =>
  isGuarded(value) ? value : `${TEXT}${JSON.stringify(value)},"nonce":"${randomUUID()}"}`

/** The value that a stored text stands for; undefined: it was removed. */
export const decode = (text: string): string | undefined => {
  if (text.startsWith(REMOVED)) return undefined
  if (!text.startsWith(TEXT)) return text
  try {
    const { text: value } = JSON.parse(text) as { readonly text?: unknown }
    return typeof value === "string" ? value : text
  } catch {
    return text
  }
}

export const tombstone = (): string => `${REMOVED}"nonce":"${randomUUID()}"}`

export const versionOf = (text: string): Version => hash("sha256", text, "base64url") as Version

/** A JSON object with a nonce, that could not be taken for an envelope or a tombstone. */
const isGuarded = (value: string): boolean => {
  if (!value.startsWith("{") || value.startsWith(TEXT) || value.startsWith(REMOVED)) return false
  try {
    const { nonce } = JSON.parse(value) as { readonly nonce?: unknown }
    return typeof nonce === "string" && nonce !== ""
  } catch {
    return false
  }
}

/**
 * Dapr refuses a key with `||`, its own separator. Of two pipes in a row the first is written `%7C`; to keep keys apart, a
 * `%` before `7C` or `25` is written `%25`. All other keys stand as they are.
 */
export const encodeKey = (key: string): string =>
  key.includes("||") || key.includes("%") ? key.replace(/%(?=7C|25)/g, "%25").replace(/\|(?=\|)/g, "%7C") : key
