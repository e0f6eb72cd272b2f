import { describe, expect, it } from "vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { find, insertField, parsePath, type Path, valueText } from "../../src/domain/json/JsonPath.js"
import { FEED } from "../../src/domain/Limits.js"

const at = (path: string): Path => Either.getOrThrow(parsePath(path))
const textAt = (text: string, path: string): string | undefined => {
  const span = find(text, at(path))
  return span === undefined ? undefined : valueText(text, span)
}
const rawAt = (text: string, path: Path): string | undefined => {
  const span = find(text, path)
  return span === undefined ? undefined : text.slice(span.start, span.end)
}

describe("JSON paths", () => {
  it.each<[string, Path]>([
    ["$", []],
    ["$.id", ["id"]],
    ["$.a.b-c._d9", ["a", "b-c", "_d9"]],
    ["$['a.b']", ["a.b"]],
    ["$['']", [""]],
    ["$['it\\'s']['\\\\']", ["it's", "\\"]],
    ["$[0].x[12]", [0, "x", 12]],
    ["$.größe", ["größe"]]
  ])("%s is understood", (text, path) => {
    expect(parsePath(text)).toEqual(Either.right(path))
  })

  it.each([
    "",
    "id",
    ".id",
    "$.",
    "$..a",
    "$.*",
    "$[*]",
    "$[-1]",
    "$[01]",
    "$[1:2]",
    "$[?(@.a)]",
    '$["a"]',
    "$['a'",
    "$[",
    "$[]",
    "$ ",
    "$.a b",
    "$a",
    "$.a[1",
    "$['a','b']",
    "$['\\n']",
    "$[99999999999]",
    "$.a\u0000",
    "$$"
  ])("%j is refused", (text) => {
    expect(Either.isLeft(parsePath(text))).toBe(true)
  })

  it("a path of a million characters is read in time that grows with its length", () => {
    expect(Either.isLeft(parsePath(`$['${"\\\\".repeat(500_000)}`))).toBe(true)
    expect(Either.isRight(parsePath(`$${".a".repeat(500_000)}`))).toBe(true)
  })

  it("strings are given by content, all else by its JSON text", () => {
    const text =
      ' { "s" : "a\\u0062\\n" , "n": 1.0e2, "big": 12345678901234567890, "o": {"k" : [1, 2]}, "t":true,"z":null }'
    expect(textAt(text, "$.s")).toBe("ab\n")
    expect(textAt(text, "$.n")).toBe("1.0e2")
    expect(textAt(text, "$.big")).toBe("12345678901234567890")
    expect(textAt(text, "$.o")).toBe('{"k" : [1, 2]}')
    expect(textAt(text, "$.o.k[1]")).toBe("2")
    expect(textAt(text, "$.t")).toBe("true")
    expect(textAt(text, "$.z")).toBe("null")
    expect(textAt(" 7 ", "$")).toBe("7")
  })

  it("of a repeated key the last one counts, and keys may be written with escapes", () => {
    expect(textAt('{"a":1,"\\u0061":2}', "$.a")).toBe("2")
    expect(textAt('{"a":{"b":1},"a":{}}', "$.a.b")).toBeUndefined()
    expect(textAt('{"a\\"b\\\\":3}', `$['a"b\\\\']`)).toBe("3")
    expect(textAt('{"__proto__":5}', "$.__proto__")).toBe("5")
    expect(textAt("{}", "$.__proto__")).toBeUndefined()
  })

  it("what is not there, and what is no JSON, is not found", () => {
    for (const text of ['{"a":[]}', "[]", '"a"', "{", "", "nonsense", '{"a":1}x', "\ufeff{}"]) {
      expect(find(text, at("$.a[0]"))).toBeUndefined()
    }
    expect(find('{"a":1}x', at("$.a"))).toBeUndefined()
    expect(find('{"a":"length"}', at("$.a.length"))).toBeUndefined()
  })

  it("nesting is looked into as deep as the limit says, and a deeper text is as no JSON", () => {
    const deep = (arrays: number) => `{"a":${"[".repeat(arrays)}${"]".repeat(arrays)},"b":1}`
    expect(textAt(deep(FEED.JSON_DEPTH - 1), "$.b")).toBe("1")
    expect(insertField(deep(FEED.JSON_DEPTH - 1), ["c"], "2")).toContain('{"c":2,"a"')
    for (const arrays of [FEED.JSON_DEPTH, 200_000]) {
      expect(textAt(deep(arrays), "$.b")).toBeUndefined()
      expect(insertField(deep(arrays), ["c"], "2")).toBeUndefined()
    }
  })

  it("every value of any JSON is found where JSON.parse has it", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.json({ maxDepth: 4 }),
        FastCheck.constantFrom(undefined, 1, "\t"),
        (json, indent) => {
          const value = JSON.parse(json) as unknown
          const text = JSON.stringify(value, null, indent)
          const walk = (value: unknown, path: Path): void => {
            expect(JSON.parse(rawAt(text, path)!)).toEqual(value)
            if (typeof value !== "object" || value === null) return
            if (Array.isArray(value)) value.forEach((v, i) => walk(v, [...path, i]))
            else for (const key of Object.keys(value)) walk((value as Record<string, unknown>)[key], [...path, key])
          }
          walk(value, [])
        }
      )
    )
  })

  it("a quoted name is read back whatever it contains", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string({ unit: "binary" }), FastCheck.jsonValue(), (name, value) => {
        const path = at(`$['${name.replace(/[\\']/g, "\\$&")}']`)
        expect(path).toEqual([name])
        const text = JSON.stringify({ first: 0, [name]: value })
        expect(JSON.parse(rawAt(text, path)!)).toEqual(JSON.parse(JSON.stringify(value)))
      })
    )
  })

  it("never throws, whatever text and path", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string({ unit: "binary" }), FastCheck.string(), (text, path) => {
        const parsed = parsePath(`$${path}`)
        find(text, Either.isRight(parsed) ? parsed.right : ["a", 0])
        insertField(text, ["a"], "1")
      })
    )
  })
})

describe("putting a field in", () => {
  it("leaves every other byte as it was", () => {
    expect(insertField('{"a" : 1.0 }', ["id"], "7")).toBe('{"id":7,"a" : 1.0 }')
    expect(insertField(" { } ", ["id"], "7")).toBe(' {"id":7 } ')
    expect(insertField('{"p":{"x":[1]}}', ["p", "i'd"], '"7"')).toBe(`{"p":{"i'd":"7","x":[1]}}`)
    expect(insertField('{"a":[{}]}', ["a", 0, "id"], "1")).toBe('{"a":[{"id":1}]}')
  })

  it("answers undefined where the field cannot stand", () => {
    for (const text of ["[]", "1", '"x"', "{", "", '{"id":1}', '{"\\u0069d":1}']) {
      expect(insertField(text, ["id"], "7")).toBeUndefined()
    }
    expect(insertField("{}", ["a", "id"], "7")).toBeUndefined()
    expect(insertField('{"a":[]}', ["a", 0], "7")).toBeUndefined()
    expect(insertField("{}", [], "7")).toBeUndefined()
  })

  it("adds exactly that field to any object", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.dictionary(FastCheck.string(), FastCheck.jsonValue()),
        FastCheck.string(),
        FastCheck.integer(),
        (object, name, id) => {
          const text = JSON.stringify(object, null, 1)
          const result = insertField(text, [name], String(id))
          if (Object.hasOwn(object, name)) {
            expect(result).toBeUndefined()
            return
          }
          const expected = JSON.parse(text) as Record<string, unknown>
          Object.defineProperty(expected, name, { value: id, enumerable: true, configurable: true, writable: true })
          expect(JSON.parse(result!)).toEqual(expected)
          expect(result!.length).toBe(
            text.length + JSON.stringify(name).length + 1 + String(id).length + (text === "{}" ? 0 : 1)
          )
        }
      )
    )
  })
})
