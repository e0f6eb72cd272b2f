/**
 * The JSON paths of the contract: `$`, `.name`, `['name']`, `[n]`, nothing else.
 *
 * Values are found in the text itself, not in a parsed copy: what is read, compared or put in keeps every byte.
 */
import * as Either from "effect/Either"
import { type Path, seek, skipSpace } from "./JsonScan.js"

export type { Path }

/** Where a value stands in its text: from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

const NAME = /[^\u0000-\u002c\u002e\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u007f]+/y
const QUOTED = /\['((?:[^'\\]|\\['\\])*)'\]/y
const INDEX = /\[(0|[1-9][0-9]{0,8})\]/y

/** The path that a text describes, or what is wrong with it. */
export const parsePath = (path: string): Either.Either<Path, string> => {
  if (path[0] !== "$") return Either.left("a JSON path begins with $")
  const segments: Array<string | number> = []
  let at = 1
  const match = (pattern: RegExp, from: number): RegExpExecArray | null => {
    pattern.lastIndex = from
    const found = pattern.exec(path)
    if (found !== null) at = pattern.lastIndex
    return found
  }
  while (at < path.length) {
    const from = at
    const name = path[at] === "." ? match(NAME, at + 1) : null
    if (name !== null) {
      segments.push(name[0])
      continue
    }
    const quoted = match(QUOTED, from)
    if (quoted !== null) {
      segments.push(quoted[1]!.replace(/\\(.)/g, "$1"))
      continue
    }
    const index = match(INDEX, from)
    if (index === null) return Either.left(`position ${from + 1}: expected .name, ['name'] or [n]`)
    segments.push(Number(index[1]))
  }
  return Either.right(segments)
}

/** Whether a text is JSON, as `JSON.parse` sees it, and not nested too deep to be looked into. */
export const isJson = (text: string): boolean => seek(text, ROOT) !== undefined

const ROOT: Path = []

/** Where the value at a path stands; undefined where there is none, or where the text is not JSON. */
export const find = (text: string, path: Path): Span | undefined => {
  const place = seek(text, path)
  return place === undefined || place.start === -1 ? undefined : place
}

/** What stands at a span: a string by its content, all else by its JSON text. */
export const valueText = (text: string, span: Span): string => {
  const raw = text.slice(span.start, span.end)
  return raw[0] === '"' ? (JSON.parse(raw) as string) : raw
}

/**
 * The text with `rawValue` (JSON) put in at a path. Every other character stays. Undefined where that cannot be: the text
 * is not JSON, or the path does not end in a name; or the object that it should stand in is not there, or the field is
 * there already.
 */
export const insertField = (text: string, path: Path, rawValue: string): string | undefined => {
  const name = path.at(-1)
  if (typeof name !== "string") return undefined
  const place = seek(text, path)
  if (place === undefined || place.parent === -1 || place.start !== -1) return undefined
  const inside = place.parent + 1
  const comma = text[skipSpace(text, inside)] === "}" ? "" : ","
  return `${text.slice(0, inside)}${JSON.stringify(name)}:${rawValue}${comma}${text.slice(inside)}`
}
