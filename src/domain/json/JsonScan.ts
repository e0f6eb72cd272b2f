/**
 * Walks JSON text once: says whether it is JSON, and where the value at a path stands. No value is built, nothing is kept
 * per container, and there is no recursion. So a text costs its length, whatever stands in it and however long the path is.
 *
 * What is JSON here is what `JSON.parse` takes, but for texts with more than `FEED.JSON_DEPTH` containers inside each
 * other.
 */
import { FEED } from "../Limits.js"

/** Names and array positions from the root; the root itself is the empty path. */
export type Path = ReadonlyArray<string | number>

/** What one walk found: positions in the text, -1 where there is none. */
export interface Place {
  /** where the object or array begins that the last step of the path looks into */
  readonly parent: number
  /** the value, from `start` up to, not including, `end` */
  readonly start: number
  readonly end: number
}

/** The brackets that are open: a scratch for one walk at a time, walks being synchronous. */
const OPEN = new Uint8Array(FEED.JSON_DEPTH)

/**
 * Undefined where the text is not JSON. Undefined too where the path asks for a member of something that has none; the walk
 * ends there, before the end of the text. Of a repeated key the last one counts, as in `JSON.parse`.
 */
export const seek = (text: string, path: Path): Place | undefined => {
  const wanted = path.length
  let i = skipSpace(text, 0)
  let depth = 0
  /** how many of the open containers, from the root, the path leads through */
  let followed = 0
  /** of the value that begins at `i`, in the innermost of those, when that is an array */
  let index = 0
  /** whether the value that begins at `i` is one that the path leads to or through */
  let onPath = true
  let parent = -1
  let start = -1
  let end = -1
  for (;;) {
    // a value begins; what a former value of the same name held does not count any more
    if (onPath) {
      start = depth === wanted ? i : -1
      if (depth < wanted) parent = -1
    }
    const code = text.charCodeAt(i)
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      if (depth === OPEN.length) return undefined
      OPEN[depth] = code
      if (onPath && depth < wanted && typeof path[depth] === (code === OPEN_OBJECT ? "string" : "number")) {
        followed = depth + 1
        index = 0
        if (followed === wanted) parent = i
      }
      depth++
      if (followed === 0 && wanted > 0) return undefined
      i = skipSpace(text, i + 1)
      if (text.charCodeAt(i) !== closing(code)) {
        if (code === OPEN_OBJECT) {
          const key = i
          if ((i = afterKey(text, key)) === -1) return undefined
          onPath = depth === followed && sameName(text, key, path[depth - 1] as string)
        } else {
          onPath = depth === followed && path[depth - 1] === 0
        }
        continue
      }
    } else {
      if (depth === 0 && wanted > 0) return undefined
      if ((i = afterScalar(text, i, code)) === -1) return undefined
      if (depth === wanted && end < start) end = i
      if (depth === 0) break
      i = skipSpace(text, i)
    }
    // a value has ended, or a container is empty: close what ends here, up to where the next value begins
    let next = text.charCodeAt(i)
    while (next === closing(OPEN[depth - 1]!)) {
      i++
      depth--
      if (followed > depth) {
        followed = depth
        // back in the container around it, at the position that the path took
        index = Number(path[depth - 1])
      }
      if (depth === wanted && end < start) end = i
      if (depth === 0) break
      i = skipSpace(text, i)
      next = text.charCodeAt(i)
    }
    if (depth === 0) break
    if (next !== COMMA) return undefined
    i = skipSpace(text, i + 1)
    if (OPEN[depth - 1] === OPEN_OBJECT) {
      const key = i
      if ((i = afterKey(text, key)) === -1) return undefined
      onPath = depth === followed && sameName(text, key, path[depth - 1] as string)
    } else {
      onPath = depth === followed && path[depth - 1] === ++index
    }
  }
  return skipSpace(text, i) === text.length ? { parent, start, end } : undefined
}

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const LOWER_U = 0x75
const OPEN_OBJECT = 0x7b

/** `}` and `]` stand two places behind `{` and `[`. */
const closing = (open: number): number => open + 2

/** The position of the first character from `at` on that is no white space. */
export const skipSpace = (text: string, at: number): number => {
  let i = at
  for (;;) {
    const code = text.charCodeAt(i)
    if (!(code <= 0x20) || (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09)) return i
    i++
  }
}

/** What a character behind a backslash stands for; 0: it may not stand there. `u` is looked at by itself. */
const ESCAPED = new Uint16Array(128)
for (const [escape, character] of Object.entries({
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t"
})) {
  ESCAPED[escape.charCodeAt(0)] = character.charCodeAt(0)
}

/** The value of four hexadecimal digits; -1: they are none. */
const hex4 = (text: string, at: number): number => {
  let value = 0
  for (let i = at; i < at + 4; i++) {
    const code = text.charCodeAt(i)
    const lower = code | 0x20
    if (code >= ZERO && code <= NINE) value = value * 16 + code - ZERO
    else if (lower >= 0x61 && lower <= 0x66) value = value * 16 + lower - 0x57
    else return -1
  }
  return value
}

/** The position after the string whose quote stands at `at`; -1: it is no string. */
const afterString = (text: string, at: number): number => {
  let i = at + 1
  for (;;) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) return i + 1
    if (code === BACKSLASH) {
      const escape = text.charCodeAt(i + 1)
      if (escape === LOWER_U) {
        if (hex4(text, i + 2) === -1) return -1
        i += 6
      } else {
        if (!(ESCAPED[escape]! > 0)) return -1
        i += 2
      }
    } else {
      // behind the end of the text stands NaN
      if (!(code >= 0x20)) return -1
      i++
    }
  }
}

/** The position where the value of a key begins; -1: at `at` is no key, or no colon behind it. */
const afterKey = (text: string, at: number): number => {
  if (text.charCodeAt(at) !== QUOTE) return -1
  const end = afterString(text, at)
  if (end === -1) return -1
  const colon = skipSpace(text, end)
  return text.charCodeAt(colon) === COLON ? skipSpace(text, colon + 1) : -1
}

/** Whether the string whose quote stands at `at`, and which is one, has this content. */
const sameName = (text: string, at: number, name: string): boolean => {
  let i = at + 1
  for (let n = 0; n < name.length; n++) {
    let code = text.charCodeAt(i++)
    if (code === QUOTE) return false
    if (code === BACKSLASH) {
      const escape = text.charCodeAt(i++)
      code = ESCAPED[escape]!
      if (escape === LOWER_U) {
        code = hex4(text, i)
        i += 4
      }
    }
    if (code !== name.charCodeAt(n)) return false
  }
  return text.charCodeAt(i) === QUOTE
}

/** The position after the string, number or literal at `at`, which begins with `code`; -1: it is none. */
const afterScalar = (text: string, at: number, code: number): number => {
  switch (code) {
    case QUOTE:
      return afterString(text, at)
    case 0x74:
      return text.startsWith("true", at) ? at + 4 : -1
    case 0x66:
      return text.startsWith("false", at) ? at + 5 : -1
    case 0x6e:
      return text.startsWith("null", at) ? at + 4 : -1
    default:
      return afterNumber(text, at)
  }
}

const afterNumber = (text: string, at: number): number => {
  let i = text.charCodeAt(at) === MINUS ? at + 1 : at
  const whole = afterDigits(text, i)
  if (whole === i || (text.charCodeAt(i) === ZERO && whole > i + 1)) return -1
  i = whole
  if (text.charCodeAt(i) === DOT) {
    const fraction = afterDigits(text, i + 1)
    if (fraction === i + 1) return -1
    i = fraction
  }
  if ((text.charCodeAt(i) | 0x20) === 0x65) {
    const sign = text.charCodeAt(i + 1)
    const digits = sign === MINUS || sign === 0x2b ? i + 2 : i + 1
    const exponent = afterDigits(text, digits)
    if (exponent === digits) return -1
    i = exponent
  }
  return i
}

const afterDigits = (text: string, at: number): number => {
  let i = at
  for (;;) {
    const code = text.charCodeAt(i)
    if (!(code >= ZERO && code <= NINE)) return i
    i++
  }
}
