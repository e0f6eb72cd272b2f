/** What may name an instance where another instance says it: in a hello, in a heartbeat record, in the index; and what is a URL. */
import { PEER } from "./Limits.js"

const INSTANCE_ID = /^(?!_)[A-Za-z0-9._-]{1,128}$/

/** As WSM_INSTANCE_ID: 1 to 128 of A-Z a-z 0-9 . - _, not beginning with _. */
export const isInstanceId = (text: string): boolean => INSTANCE_ID.test(text)

/**
 * The URL; undefined where the text is none.
 *
 * Not `URL.canParse`: in Node.js 20 it says no to every letter of Latin-1 beyond ASCII (ä) once V8 has optimized the caller.
 */
export const parseUrl = (text: string): URL | undefined => {
  try {
    return new URL(text)
  } catch {
    return undefined
  }
}

/** Where an instance says that it is reached: an http or https URL, without user, query or fragment. */
export const isPeerAddress = (text: string): boolean => {
  if (text.length > PEER.ADDRESS_CHARS || !/^https?:\/\/[^/?#\s\p{Cc}]/iu.test(text)) return false
  const url = parseUrl(text)
  if (url === undefined) return false
  const { hash, password, search, username } = url
  return username === "" && password === "" && search === "" && hash === "" && !/[?#\s\p{Cc}]/u.test(text)
}
