/** A URL as it may be shown: in events, lists, logs and errors. */
import { fillTemplate, parseTemplate, type Placeholder } from "../Templates.js"
import { isOpaque } from "./Opaque.js"

/**
 * Names of query parameters that say what a feed is of, how it is written, and no more; without their case, `_`, `-` and `[]`.
 * The values of all others are hidden: an unknown name may be the one of a password.
 */
const PLAIN = new Set(
  `symbol symbols stream streams channel channels topic topics subject subjects market markets pair pairs product products
  productid productids producttype instrument instruments instrumentid instid insttype ticker tickers asset assets coin coins
  currency currencies base quote exchange venue category categories event events type types kind feed feeds room rooms
  collection collections wantedcollections filter filters fields side v ver version apiversion protocol protocolversion vsn
  eio transport format encoding charset compress compression binary json lang language locale region tz timezone interval
  intervals period resolution granularity depth level levels limit count size page rate speed freq frequency throttle
  snapshot delta full from to since until start end offset sequence cursor heartbeat ping keepalive timeout units model
  voice samplerate env environment`.split(/\s+/)
)

/** Stands for a placeholder while the URL is taken apart: a character that no part of a URL is split at. */
const MARK = "\u0000"
const PARTS = /^([a-z][a-z0-9+.-]*:[/\\]*)?([^/\\?#]*)([^?#]*)(\?[^#]*)?(#[^]*)?$/i
const HIDDEN = "***"

/**
 * The URL without userinfo; the value of each query parameter that is not known to be plain becomes `***`, and so do a
 * fragment and whatever looks like a token. A value that is nothing but `${…}` references stays: they are names, not secrets.
 * `hidden` is told each text that is not shown.
 */
export const redactUrl = (url: string, hidden: (text: string) => void = () => {}): string => {
  const template = parseTemplate(url.replaceAll(MARK, ""))
  const placeholders = template.flatMap((part) => (part.kind === "literal" ? [] : [fillTemplate([part], asWritten)]))
  let next = 0
  const parts: Parts = {
    show: (text) => text.replaceAll(MARK, () => placeholders[next++] ?? ""),
    hide: (text) => {
      next += text.split(MARK).length - 1
      for (const literal of text.split(MARK)) if (literal !== "") hidden(literal)
      return HIDDEN
    }
  }
  const marked = fillTemplate(template, () => MARK)
  const [, scheme = "", authority = "", path = "", query, fragment] = PARTS.exec(marked) ?? []
  const host = authority.lastIndexOf("@") + 1
  if (host > 0) parts.hide(authority.slice(0, host - 1))
  let shown =
    scheme +
    parts.show(authority.slice(host)) +
    path
      .split("/")
      .map((part) => segment(part, parts))
      .join("/")
  if (query !== undefined) {
    shown += `?${query
      .slice(1)
      .split("&")
      .map((part) => pairs(part, parts))
      .join("&")}`
  }
  return fragment === undefined ? shown : `${shown}#${parts.hide(fragment.slice(1))}`
}

/** A foreign text, such as an error of `fetch`, with its URLs as they may be shown. */
export const redactUrlsIn = (text: string): string =>
  text.replace(/\b(?:https?|wss?):\/\/[^\s"'`<>]+/gi, (url) => redactUrl(url))

interface Parts {
  readonly show: (text: string) => string
  readonly hide: (text: string) => string
}

const asWritten = (placeholder: Placeholder): string => `\${${placeholder.kind}:${placeholder.name}}`

/** A segment of the path; behind its first `;` stand parameters. */
const segment = (text: string, parts: Parts): string => {
  const end = text.indexOf(";")
  const name = end === -1 ? text : text.slice(0, end)
  const shown = value(name, parts)
  return end === -1 ? shown : `${shown};${pairs(text.slice(end + 1), parts)}`
}

const value = (text: string, { hide, show }: Parts): string =>
  text.split(MARK).some(isOpaque) ? hide(text) : show(text)

/**
 * One `name=value`; `;` and `?` in a value that is shown begin a further name, what follows a hidden one is hidden up to its
 * end.
 */
const pairs = (text: string, parts: Parts): string => {
  const pieces = text.split(/([;?])/)
  let shown = ""
  for (let i = 0; i < pieces.length; i += 2) {
    const pair = pieces[i]!
    const equals = pair.indexOf("=")
    const name = equals === -1 ? pair : pair.slice(0, equals)
    const given = pair.slice(equals + 1)
    const plain = PLAIN.has(plainName(name))
    if (equals !== -1) shown += `${plain ? parts.show(name) : value(name, parts)}=`
    if (!plain && given !== "" && !onlyReferences(given)) {
      return shown + parts.hide(given + pieces.slice(i + 1).join(""))
    }
    shown += items(given, parts) + (pieces[i + 1] ?? "")
  }
  return shown
}

const items = (text: string, parts: Parts): string =>
  text
    .split(LISTED)
    .map((item) => (LISTED.test(item) ? item : value(item, parts)))
    .join("")

/** What stands between the items of a list. */
const LISTED = /([,/|])/

const onlyReferences = (text: string): boolean => text.replaceAll(MARK, "") === ""

const plainName = (name: string): string =>
  name
    .replace(/%[0-9a-f]{2}/gi, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)))
    .toLowerCase()
    .replaceAll(/[_[\]-]/g, "")
