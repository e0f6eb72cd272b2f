/** The opening request of a connection: URL, headers, subprotocols. */
import * as Either from "effect/Either"
import { CALLER } from "../Limits.js"
import { parseUrl } from "../Peer.js"
import { redactUrl } from "../secrets/Redact.js"
import { atMost, type Checked, entryName, every, hasControl, must, printable, refuse, text } from "./Check.js"
import { checkHeaderTemplate, checkTemplate, withoutPlaceholders } from "./ValidateTemplate.js"

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

export interface CheckedUrl {
  readonly url: string
  readonly shownUrl: string
  readonly hostPort: string
}

/** A ws or wss URL; placeholders may stand in its userinfo, path and query, where they are filled in at each dial. */
export const checkUrl = (url: string): Checked<CheckedUrl> =>
  Either.gen(function* () {
    yield* must(url !== "", "url", "is empty")
    yield* text("url", url)
    yield* must(Buffer.byteLength(url) <= 8192, "url", "is over 8 KiB")
    yield* must(!hasControl(url) && !/[\s\\]/.test(url), "url", "has white space, a backslash or control characters")
    yield* must(/^wss?:\/\/[^/?]/i.test(url), "url", "does not begin with ws:// or wss:// and a host")
    yield* must(!url.includes("#"), "url", "has a fragment")
    yield* checkTemplate("url", url)
    const parsed = parseUrl(withoutPlaceholders(url, PLACED))
    if (parsed === undefined || parsed.hostname === "") return yield* refuse("url", "is no URL")
    yield* must(!parsed.host.includes(PLACED), "url", "has a placeholder in its host")
    const port = parsed.port === "" ? (parsed.protocol === "ws:" ? "80" : "443") : parsed.port
    return { url, shownUrl: redactUrl(url), hostPort: `${parsed.hostname}:${port}` }
  })

/** What a placeholder is taken for while the URL is parsed. */
const PLACED = "wsm0placed0"

const RESERVED = new Set(["host", "connection", "upgrade", "content-length", "transfer-encoding"])
const MAX_HEADERS = 64
const MAX_HEADER_BYTES = 32 * 1024

export const checkHeaders = (
  headers: Readonly<Record<string, string>> = {}
): Checked<ReadonlyArray<readonly [name: string, value: string]>> => {
  const entries = Object.entries(headers)
  const bytes = entries.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0)
  const seen = new Set<string>()
  return Either.gen(function* () {
    yield* must(entries.length <= MAX_HEADERS, "headers", `are ${entries.length}, over ${MAX_HEADERS}`)
    yield* must(bytes <= MAX_HEADER_BYTES, "headers", `are ${bytes} bytes, over ${MAX_HEADER_BYTES}`)
    yield* every(entries, ([name, value]) => checkHeader(name, value, seen))
    return entries
  })
}

const checkHeader = (name: string, value: string, seen: Set<string>): Checked<void> => {
  const field = `headers.${printable(name)}`
  const lower = name.toLowerCase()
  if (!TOKEN.test(name)) return refuse(field, "is no header name")
  if (RESERVED.has(lower) || lower.startsWith("sec-websocket-"))
    return refuse(field, "belongs to the opening handshake")
  if (lower === "trailer") return refuse(field, "announces a trailer, and an opening request has none")
  const carried = entryName(field, name)
  if (Either.isLeft(carried)) return carried
  if (seen.has(lower)) return refuse(field, "is given twice")
  seen.add(lower)
  if (/[^\t\u0020-\u007e\u0080-\u00ff]/.test(value)) {
    return refuse(field, "has control characters, or characters outside ISO 8859-1")
  }
  return checkHeaderTemplate(field, value)
}

export const checkSubprotocols = (subprotocols: ReadonlyArray<string> = []): Checked<ReadonlyArray<string>> =>
  Either.gen(function* () {
    yield* atMost("subprotocols", subprotocols.length, CALLER.SUBPROTOCOLS, "names")
    yield* every(subprotocols, (name, i) =>
      checkSubprotocol(`subprotocols[${i}]`, name, subprotocols.indexOf(name) < i)
    )
    return subprotocols
  })

const checkSubprotocol = (field: string, name: string, again: boolean): Checked<void> =>
  Either.gen(function* () {
    yield* text(field, name, CALLER.SUBPROTOCOL_CHARS)
    yield* checkTemplate(field, name)
    yield* must(TOKEN.test(withoutPlaceholders(name, "x")), field, "is no subprotocol name")
    yield* must(!again, field, "is given twice")
  })
