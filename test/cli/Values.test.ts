import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import * as Values from "../../src/cli/Values.js"

const right = <A>(either: Either.Either<A, string>) => Either.getOrThrow(either)

describe("values on the command line", () => {
  it.each([
    ["10 seconds", 10_000],
    ["500 millis", 500],
    ["1 second", 1000],
    ["2 minutes", 120_000],
    ["10s", 10_000],
    ["250ms", 250],
    ["1.5s", 1500],
    ["2m", 120_000],
    ["1h", 3_600_000]
  ])("%s is a duration of %d ms", (text, millis) => {
    expect(right(Values.duration(text))).toBe(millis)
  })

  it.each(["", "10", "ten seconds", "-1s", "0 seconds", "50 days", "5x", "Infinity", "1e3 seconds"])(
    "%j is no duration",
    (text) => {
      expect(Either.isLeft(Values.duration(text))).toBe(true)
    }
  )

  it("a rate is written as 200 per second, or as the number alone", () => {
    expect(right(Values.rate("200 per second"))).toBe(200)
    expect(right(Values.rate("0.5"))).toBe(0.5)
    expect(Either.isLeft(Values.rate("fast"))).toBe(true)
    expect(Either.isLeft(Values.rate("0"))).toBe(true)
  })

  it("a size is bytes, or has a binary unit", () => {
    expect(right(Values.size(1024 ** 2)("200"))).toBe(200)
    expect(right(Values.size(1024 ** 2)("4 KiB"))).toBe(4096)
    expect(Either.isLeft(Values.size(1024)("1 MiB"))).toBe(true)
  })

  it("a pair is cut at its first =, and its value may be empty", () => {
    expect(right(Values.keyValue("Authorization=Basic a=="))).toEqual(["Authorization", "Basic a=="])
    expect(right(Values.keyValue("empty="))).toEqual(["empty", ""])
    expect(Either.isLeft(Values.keyValue("=value"))).toBe(true)
    expect(Either.isLeft(Values.keyValue("key"))).toBe(true)
  })

  it("the address of a server is http or https, without credentials, and loses its last slash", () => {
    expect(right(Values.serverUrl("http://127.0.0.1:5001/"))).toBe("http://127.0.0.1:5001")
    for (const bad of ["127.0.0.1:5001", "ws://x", "http://user:secret@host", ""]) {
      expect(Either.isLeft(Values.serverUrl(bad))).toBe(true)
    }
  })
})
