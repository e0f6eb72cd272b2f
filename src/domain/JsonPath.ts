/**
 * The JSON paths of the contract: `$`, `.name`, `['name']`, `[n]`, nothing else.
 *
 * Values are found in the text itself, not in a parsed copy: what is read, compared or put in keeps every byte. `JSON.parse`
 * only says whether the text is JSON; the scanner walks what is known to be valid, without recursion.
 */
import * as Either from "effect/Either"

/** Names and array positions from the root; the root itself is the empty path. */
export type Path = ReadonlyArray<string | number>

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

/** Whether a text is JSON, as `JSON.parse` sees it. */
export const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Where the value at a path stands; undefined where there is none, or where the text is not JSON. */
export const find = (text: string, path: Path): Span | undefined => (isJson(text) ? locate(text, path) : undefined)

/** As `find`, for a text that is known to be JSON. Of a repeated key the last one counts, as in `JSON.parse`. */
export const locate = (text: string, path: Path): Span | undefined => {
  let start = skipSpace(text, 0)
  for (const segment of path) {
    const next = typeof segment === "string" ? member(text, start, segment) : element(text, start, segment)
    if (next === -1) return undefined
    start = next
  }
  return { start, end: skipValue(text, start) }
}

/** What stands at a span: a string by its content, all else by its JSON text. */
export const valueText = (text: string, span: Span): string => {
  const raw = text.slice(span.start, span.end)
  return raw[0] === '"' ? (JSON.parse(raw) as string) : raw
}

/**
 * The text with `rawValue` (JSON) put in at a path. Every other character stays. Undefined where that cannot be: the text is
 * not JSON, the path ends in no name, the object it should stand in is not there, or the field is there already.
 */
export const insertField = (text: string, path: Path, rawValue: string): string | undefined => {
  const name = path.at(-1)
  if (typeof name !== "string" || !isJson(text)) return undefined
  const parent = locate(text, path.slice(0, -1))
  if (parent === undefined || text[parent.start] !== "{" || member(text, parent.start, name) !== -1) return undefined
  const inside = parent.start + 1
  const comma = text[skipSpace(text, inside)] === "}" ? "" : ","
  return `${text.slice(0, inside)}${JSON.stringify(name)}:${rawValue}${comma}${text.slice(inside)}`
}

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09

const skipSpace = (text: string, at: number): number => {
  let i = at
  while (isSpace(text.charCodeAt(i))) i++
  return i
}

/** The position after the string that begins at `at`. */
const skipString = (text: string, at: number): number => {
  let from = at + 1
  while (true) {
    const end = text.indexOf('"', from)
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return end + 1
    from = end + 1
  }
}

/** The position after the value that begins at `at`. */
const skipValue = (text: string, at: number): number => {
  let i = at
  let depth = 0
  while (i < text.length) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) {
      i = skipString(text, i)
      if (depth === 0) return i
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      depth++
      i++
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      if (depth === 0) return i
      i++
      if (--depth === 0) return i
    } else if (depth === 0 && (code === COMMA || isSpace(code))) {
      return i
    } else {
      i++
    }
  }
  return i
}

/** Where the value of a name begins in the object at `at`; -1: no object, or no such name. */
const member = (text: string, at: number, name: string): number => {
  if (text.charCodeAt(at) !== OPEN_OBJECT) return -1
  let found = -1
  let i = skipSpace(text, at + 1)
  while (text.charCodeAt(i) === QUOTE) {
    const end = skipString(text, i)
    const raw = text.slice(i + 1, end - 1)
    const key = raw.includes("\\") ? (JSON.parse(`"${raw}"`) as string) : raw
    // one character, the colon, between key and value
    const value = skipSpace(text, skipSpace(text, end) + 1)
    if (key === name) found = value
    i = skipSpace(text, skipValue(text, value))
    if (text.charCodeAt(i) !== COMMA) break
    i = skipSpace(text, i + 1)
  }
  return found
}

/** Where the n-th value begins in the array at `at`; -1: no array, or too short. */
const element = (text: string, at: number, n: number): number => {
  if (text.charCodeAt(at) !== OPEN_ARRAY) return -1
  let i = skipSpace(text, at + 1)
  if (text.charCodeAt(i) === CLOSE_ARRAY) return -1
  for (let k = 0; k < n; k++) {
    i = skipSpace(text, skipValue(text, i))
    if (text.charCodeAt(i) !== COMMA) return -1
    i = skipSpace(text, i + 1)
  }
  return i
}
