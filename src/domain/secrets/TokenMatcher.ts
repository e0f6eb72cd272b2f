/** The token that a caller shows, compared with the one that is set. */
import { createHash, timingSafeEqual } from "node:crypto"
import * as Redacted from "effect/Redacted"

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/**
 * Digests have one length, so the comparison tells nothing about the token, not even its length. Where no token is set,
 * none matches.
 */
export const tokenMatcher = (
  token: Redacted.Redacted<string> | undefined
): ((shown: string | undefined) => boolean) => {
  if (token === undefined) return () => false
  const wanted = digest(Redacted.value(token))
  return (shown) => shown !== undefined && timingSafeEqual(digest(shown), wanted)
}

/** The token of an `Authorization` header; undefined: it has none. */
export const bearerToken = (header: string | undefined): string | undefined => /^bearer +(.*)$/i.exec(header ?? "")?.[1]
