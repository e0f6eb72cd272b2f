/**
 * What may stand as `${...}` in a URL, a header value, a subprotocol, a ping message or a text step of the handshake.
 *
 * A name is taken as written and not judged here: `domain/Validate.ts` says which names are good. What is no known
 * placeholder stays in the text literally.
 */
export type Placeholder =
  | { readonly kind: "secret"; readonly name: string }
  | { readonly kind: "capture"; readonly name: string }
  | { readonly kind: "connection"; readonly name: "id" | "epoch" }
  | { readonly kind: "instance"; readonly name: "id" }

export type TemplatePart = { readonly kind: "literal"; readonly literal: string } | Placeholder
export type Template = ReadonlyArray<TemplatePart>

const PLACEHOLDER = /\$\{(?:(secret|capture):([^}]*)|(connection):(id|epoch)|(instance):(id))\}/g
const WHOLE_SECRET = "secret:"

/** The parts of a text, in order; adjacent literals are one part, an empty text has none. */
export const parseTemplate = (text: string): Template => {
  const parts: Array<TemplatePart> = []
  let end = 0
  for (const match of text.matchAll(PLACEHOLDER)) {
    if (match.index > end) parts.push({ kind: "literal", literal: text.slice(end, match.index) })
    const kind = match[1] ?? match[3] ?? match[5]
    const name = match[2] ?? match[4] ?? match[6]
    parts.push({ kind, name } as Placeholder)
    end = match.index + match[0].length
  }
  if (end < text.length) parts.push({ kind: "literal", literal: text.slice(end) })
  return parts
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

/** The text with each placeholder replaced by `value`, which may encode it for the place it goes to. */
export const fillTemplate = (template: Template, value: (placeholder: Placeholder) => string): string => {
  let text = ""
  for (const part of template) text += part.kind === "literal" ? part.literal : value(part)
  return text
}
