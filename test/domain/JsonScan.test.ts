import * as FastCheck from "effect/FastCheck"
import { describe, expect, it } from "vitest"
import { find, isJson } from "../../src/domain/json/JsonPath.js"
import type { Path } from "../../src/domain/json/JsonScan.js"
import { FEED } from "../../src/domain/Limits.js"

const parses = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
const agrees = (text: string): void => {
  expect([text, isJson(text)]).toEqual([text, parses(text)])
}

/** The span at a path as one walks a parsed copy: what the walk of the text must find, and nothing else. */
const valueAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((at, step) => {
    if (typeof step === "number") return Array.isArray(at) ? at[step] : undefined
    const holds = typeof at === "object" && at !== null && !Array.isArray(at) && Object.hasOwn(at, step)
    return holds ? (at as Record<string, unknown>)[step] : undefined
  }, value)

/** Pieces of JSON, of what is nearly JSON, and of what is not, as they may stand one behind the other. */
const PIECES = [
  ..."{}[]:,\"\\ \t\n\r", "\u000b", "\u00a0", "\ufeff", "\u0000", "\u001f", "\u007f", "\u2028", "\ud800", "\udc00", "é",
  "true", "false", "null", "tru", "nul", "True", "NaN", "Infinity", "undefined", "'", "//", "/**/",
  "0", "-0", "-", "+1", "00", "01", "1.", ".5", "1.5", "1e5", "1E+05", "1e-", "1e", "0x1", "1_0", "9007199254740993",
  '"a"', '"\\u0041"', '"\\u004"', '"\\uD800"', '"\\x"', '"\\/"', '"\\b\\f\\n\\r\\t"', '"\u0001"', '"a\nb"', '""',
  '{"a":1}', "[1,2]", "[1,]", "{,}", '{"a":}', '{"a"}', "{a:1}", '{"a":1,}', "[]", "{}"
] // prettier-ignore

describe("the scanner of JSON", () => {
  it("takes what JSON.parse takes: each piece, and two and three of them in a row", () => {
    for (const a of PIECES) {
      agrees(a)
      for (const b of PIECES) agrees(a + b)
    }
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.constantFrom(...PIECES), { minLength: 3, maxLength: 8 }), (pieces) =>
        agrees(pieces.join(""))
      ),
      { numRuns: 5000 }
    )
  })

  it("takes any JSON, however it is laid out, and nothing that JSON.parse refuses once one character was changed", () => {
    const json = FastCheck.tuple(
      FastCheck.json({ maxDepth: 5, stringUnit: "binary" }),
      FastCheck.constantFrom(undefined, 1, "\t")
    )
    FastCheck.assert(
      FastCheck.property(
        json,
        FastCheck.nat(),
        FastCheck.constantFrom(...PIECES),
        FastCheck.nat(2),
        ([compact, indent], place, piece, cut) => {
          const text = JSON.stringify(JSON.parse(compact), null, indent)
          agrees(text)
          const at = place % (text.length + 1)
          agrees(text.slice(0, at) + piece + text.slice(at + cut))
          agrees(text.slice(0, at))
          agrees(text.slice(at))
        }
      ),
      { numRuns: 3000 }
    )
  })

  it("takes any string that may stand between quotes, and any number", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string({ unit: "binary" }), (content) => {
        agrees(`"${content}"`)
        agrees(`{"${content}":0}`)
        agrees(JSON.stringify(content))
      }),
      { numRuns: 2000 }
    )
    const digits = FastCheck.array(FastCheck.constantFrom(..."0123456789+-.eE"), { maxLength: 8 })
    FastCheck.assert(
      FastCheck.property(digits, (number) => agrees(number.join(""))),
      { numRuns: 5000 }
    )
    for (let code = 0; code < 0x300; code++) {
      const character = String.fromCharCode(code)
      agrees(`"${character}"`)
      agrees(`"\\${character}"`)
      agrees(`"\\u00${character}0"`)
      agrees(`${character}1${character}`)
    }
  })

  it("finds at any path what a parsed copy has there, the last of repeated names, and names that are written with escapes", () => {
    const name = FastCheck.constantFrom("a", "b", "", "\\u0061", "a\\n", "é", "__proto__", "\\ud83d\\ude00")
    const { value } = FastCheck.letrec<{ value: string }>((tie) => ({
      value: FastCheck.oneof(
        { depthSize: "small", withCrossShrink: true },
        FastCheck.constantFrom("0", "true", '"a"', '"{"', "null", "[]", "{ }", '"\\\\"'),
        FastCheck.array(tie("value"), { maxLength: 3 }).map((items) => `[${items.join(" , ")}]`),
        FastCheck.array(FastCheck.tuple(name, tie("value")), { maxLength: 4 }).map(
          (members) => `{${members.map(([key, member]) => ` "${key}" :${member}`).join(",")}\n}`
        )
      )
    }))
    const step = FastCheck.oneof(
      FastCheck.nat(2),
      name.map((raw) => JSON.parse(`"${raw}"`) as string)
    )
    FastCheck.assert(
      FastCheck.property(value, FastCheck.array(step, { maxLength: 3 }), (text, path) => {
        const span = find(text, path)
        const found = span === undefined ? undefined : (JSON.parse(text.slice(span.start, span.end)) as unknown)
        expect([text, path, found]).toEqual([text, path, valueAt(JSON.parse(text), path)])
      }),
      { numRuns: 5000 }
    )
  })

  it("looks into so many containers inside each other, and into no more, closed or not", () => {
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
      [' [ {"a" : ', " } ] "]
    ] as const) {
      const depth = FEED.JSON_DEPTH / (close.trim().length > 1 ? 2 : 1)
      const nested = (n: number) => `${open.repeat(n)}1${close.repeat(n)}`
      expect([isJson(nested(depth)), isJson(nested(depth + 1))]).toEqual([true, false])
      expect(isJson(open.repeat(100_000))).toBe(false)
    }
    // beside each other there may be as many as there is room for
    expect(isJson(`[${"{},".repeat(100_000)}[[]]]`)).toBe(true)
  })
})
