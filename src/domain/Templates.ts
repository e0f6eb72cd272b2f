/** Texts in which `${...}` is filled in: what may stand there, and how it is read. */
import { CALLER } from "./Limits.js"

/**
 * What may stand as `${...}` in a URL, a header value, a subprotocol, a ping message or a text step of the handshake.
 *
 * A name is taken as written and not judged here: `domain/validation/Validate.ts` says which names are good. What is no known
 * placeholder stays in the text literally.
 */
export type Placeholder =
  | { readonly kind: "secret"; readonly name: string }
  | { readonly kind: "capture"; readonly name: string }
  | { readonly kind: "connection"; readonly name: "id" | "epoch" }
  | { readonly kind: "instance"; readonly name: "id" }

export type TemplatePart = { readonly kind: "literal"; readonly literal: string } | Placeholder
export type Template = ReadonlyArray<TemplatePart>

const WHOLE_SECRET = "secret:"

/** The parts of a text, in order; adjacent literals are one part, an empty text has none. Costs the text's length. */
export const parseTemplate = (text: string): Template => {
  const parts: Array<TemplatePart> = []
  let end = 0
  let from = 0
  let close = -1
  for (;;) {
    const open = text.indexOf("${", from)
    if (open === -1) break
    from = open + 2
    // looked for again only once it is passed: the text between many a `${` and the one `}` behind them is walked once
    if (close < from) close = text.indexOf("}", from)
    if (close === -1) break
    const placeholder = close - from > CALLER.PLACEHOLDER_CHARS ? undefined : read(text, from, close)
    if (placeholder === undefined) continue
    if (open > end) parts.push({ kind: "literal", literal: text.slice(end, open) })
    parts.push(placeholder)
    end = from = close + 1
  }
  if (end < text.length) parts.push({ kind: "literal", literal: text.slice(end) })
  return parts
}

/** What stands between `${` and `}`, where it is something that can be filled in. */
const read = (text: string, start: number, end: number): Placeholder | undefined => {
  if (text.startsWith("secret:", start)) return { kind: "secret", name: text.slice(start + 7, end) }
  if (text.startsWith("capture:", start)) return { kind: "capture", name: text.slice(start + 8, end) }
  switch (text.slice(start, end)) {
    case "connection:id":
      return { kind: "connection", name: "id" }
    case "connection:epoch":
      return { kind: "connection", name: "epoch" }
    case "instance:id":
      return { kind: "instance", name: "id" }
    default:
      return undefined
  }
}

/** As `parseTemplate`, for a header's value, which as a whole may also be `secret:NAME`. */
export const parseHeaderValue = (text: string): Template =>
  text.startsWith(WHOLE_SECRET)
    ? [{ kind: "secret", name: text.slice(WHOLE_SECRET.length).trimEnd() }]
    : parseTemplate(text)

/** The placeholders of a text, without its literals. */
export const placeholders = (text: string): ReadonlyArray<Placeholder> =>
  parseTemplate(text).filter((part): part is Placeholder => part.kind !== "literal")

/** The names of the secrets that templates ask for, each once. */
export const secretNames = (templates: Iterable<Template>): ReadonlyArray<string> => {
  const names = new Set<string>()
  for (const template of templates) {
    for (const part of template) if (part.kind === "secret") names.add(part.name)
  }
  return [...names]
}

/** The text with each placeholder replaced by `value`: for values that this instance makes, which are short. */
export const fillTemplate = (template: Template, value: (placeholder: Placeholder) => string): string =>
  template.map((part) => (part.kind === "literal" ? part.literal : value(part))).join("")

/**
 * The same for values that others make: undefined where the text would be longer than so many bytes. It is looked at part by
 * part, since a short text may ask for a long value many times. `value` may encode it for the place that it goes to.
 */
export const fillWithin = (
  template: Template,
  value: (placeholder: Placeholder) => string,
  maxBytes: number
): string | undefined => {
  let text = ""
  let bytes = 0
  for (const part of template) {
    const piece = part.kind === "literal" ? part.literal : value(part)
    bytes += Buffer.byteLength(piece)
    if (bytes > maxBytes) return undefined
    text += piece
  }
  return text
}
