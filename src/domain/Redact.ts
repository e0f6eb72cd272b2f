/** A URL as it may be shown: in events, lists, logs and errors. */
import { fillTemplate, parseTemplate, type Placeholder } from "./Templates.js"

const SECRET_WORDS = ["token", "key", "secret", "sig", "auth", "pass", "session", "ticket"]
/** Stands for a placeholder while the URL is taken apart: a character that no part of a URL is split at. */
const MARK = "\u0000"
const PARTS = /^([a-z][a-z0-9+.-]*:[/\\]*)?([^/\\?#]*)([^?#]*)(\?[^#]*)?(#[^]*)?$/i

/**
 * The URL without userinfo; the value of a query parameter whose name contains token, key, secret, sig, auth, pass,
 * session or ticket becomes `***`, and so does a fragment. A value that is nothing but `${…}` references stays: they
 * are names, not secrets.
 */
export const redactUrl = (url: string): string => {
  const template = parseTemplate(url.replaceAll(MARK, ""))
  const placeholders = template.flatMap((part) => (part.kind === "literal" ? [] : [fillTemplate([part], asWritten)]))
  let next = 0
  const show = (text: string): string => text.replaceAll(MARK, () => placeholders[next++] ?? "")
  const hide = (text: string): void => void (next += text.split(MARK).length - 1)

  const marked = fillTemplate(template, () => MARK)
  const [, scheme = "", authority = "", path = "", query, fragment] = PARTS.exec(marked) ?? []
  const host = authority.lastIndexOf("@") + 1
  hide(authority.slice(0, host))
  let shown = scheme + show(authority.slice(host)) + show(path)
  if (query !== undefined) {
    shown +=
      query.slice(0, 1) +
      query
        .slice(1)
        .split("&")
        .map((pair) => redactPair(pair, show, hide))
        .join("&")
  }
  return fragment === undefined ? shown : `${shown}#***`
}

const asWritten = (placeholder: Placeholder): string => `\${${placeholder.kind}:${placeholder.name}}`

/** One `name=value`; whatever follows a secret name up to the next `&` is hidden, `;` and `?` begin a further name. */
const redactPair = (pair: string, show: (text: string) => string, hide: (text: string) => void): string => {
  let shown = ""
  let rest = pair
  for (;;) {
    const [, name, value] = /^([^=]*)=([^]*)$/.exec(rest) ?? []
    if (name === undefined || value === undefined) return shown + show(rest)
    shown += `${show(name)}=`
    if (isSecretName(name)) {
      if (onlyReferences(value)) return shown + show(value)
      hide(value)
      return `${shown}***`
    }
    const end = value.search(/[;?]/) + 1
    if (end === 0) return shown + show(value)
    shown += show(value.slice(0, end))
    rest = value.slice(end)
  }
}

const onlyReferences = (value: string): boolean => value !== "" && value.replaceAll(MARK, "") === ""

const isSecretName = (name: string): boolean => {
  const lower = name
    .replace(/%[0-9a-f]{2}/gi, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)))
    .toLowerCase()
  return SECRET_WORDS.some((word) => lower.includes(word))
}
