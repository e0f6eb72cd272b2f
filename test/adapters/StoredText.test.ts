import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { decode, encode, encodeKey, tombstone, versionOf } from "../../src/adapters/dapr/state/StoredText.js"

const guarded = '{"v":1,"id":"c","nonce":"n1","huge":9007199254740993}'

describe("how values stand in a Dapr store", () => {
  it("a JSON object with a nonce stands there byte for byte", () => {
    expect(encode(guarded)).toBe(guarded)
    expect(decode(guarded)).toBe(guarded)
    expect(encode('{ "nonce": "x"}\n')).toBe('{ "nonce": "x"}\n')
  })

  it.each([
    "",
    "12",
    "true",
    "null",
    '"nonce"',
    "[1]",
    '{"a":1}',
    '{"nonce":""}',
    '{"nonce":"x"',
    "a\u0000b",
    "\ud800"
  ])("%j stands in JSON of its own, and comes back", (value) => {
    expect(JSON.parse(encode(value))).toMatchObject({ v: 1, text: value, nonce: expect.any(String) })
    expect(decode(encode(value))).toBe(value)
  })

  it("what looks like an envelope or a tombstone is a value like any other", () => {
    for (const value of [encode("x"), tombstone(), encode(encode("x"))]) expect(decode(encode(value))).toBe(value)
  })

  it("a removed key holds JSON, and no value", () => {
    expect(decode(tombstone())).toBeUndefined()
    expect(JSON.parse(tombstone())).toMatchObject({ v: 1, removed: true })
  })

  it("the same value written twice has two versions, unless it carries its writer's nonce", () => {
    expect(versionOf(encode("same"))).not.toBe(versionOf(encode("same")))
    expect(versionOf(tombstone())).not.toBe(versionOf(tombstone()))
    expect(versionOf(encode(guarded))).toBe(versionOf(guarded))
  })

  it("any value comes back", () =>
    FastCheck.assert(
      FastCheck.property(FastCheck.oneof(FastCheck.fullUnicodeString(), FastCheck.json()), (value) => {
        expect(decode(encode(value))).toBe(value)
      })
    ))
})

describe("keys", () => {
  it("the manager's own keys stand as they are", () => {
    for (const key of ["websocketmanager/instances/_index", "websocketmanager/connections/a%20b|c%2F100%"]) {
      expect(encodeKey(key)).toBe(key)
    }
  })

  it("none has two pipes in a row, and keys that differ stay different", () => {
    const decodeKey = (key: string) => key.replace(/%(25|7C)/g, (_, code) => (code === "25" ? "%" : "|"))
    const text = FastCheck.array(FastCheck.constantFrom("|", "%", "2", "5", "7", "C", "a", "%7C", "%25", "||"))
    FastCheck.assert(
      FastCheck.property(text, (parts) => {
        const key = parts.join("")
        expect(encodeKey(key)).not.toContain("||")
        expect(decodeKey(encodeKey(key))).toBe(key)
      }),
      { numRuns: 2000 }
    )
  })
})
