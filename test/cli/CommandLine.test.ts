import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import { guard, read, unguard } from "../../src/cli/CommandLine.js"
import { argument, flag, optionalText, repeatedText } from "../../src/cli/Parameters.js"

const send = Command.make(
  "send",
  {
    id: argument("ID", ""),
    text: argument("TEXT", ""),
    raw: flag("raw", ""),
    topic: optionalText("topic", "T", ""),
    header: repeatedText("header", "K=V", "")
  },
  () => Effect.void
)
const root = Command.make("wsm").pipe(Command.withSubcommands([send])).descriptor

const reading = (...argv: ReadonlyArray<string>) => read(root, argv, (_, option) => option === "topic")
const words = (...argv: ReadonlyArray<string>) => Either.getOrThrow(reading(...argv)).words.map(unguard)
const refusal = (...argv: ReadonlyArray<string>) => Either.getOrThrow(Either.flip(reading(...argv))).line

describe("a command line", () => {
  it("may have its options anywhere: before the command, after it, between and behind its arguments", () => {
    const expected = ["send", "--raw", "--header", "a=b", "--", "id", "text"]
    expect(words("send", "--raw", "--header", "a=b", "id", "text")).toEqual(expected)
    expect(words("send", "id", "--raw", "text", "--header=a=b")).toEqual(expected)
    expect(words("--raw", "--header", "a=b", "send", "id", "text")).toEqual(expected)
  })

  it("may have any text as a value, also one that looks like an option, is blank or ends in blanks", () => {
    for (const value of ["--help", "-1", "", "  spaced  ", "a=b=c", "line\nline", "true", "send", "v:x", "🚀%"]) {
      expect(words("send", "--header", value, "--", "id", value)).toEqual([
        "send",
        "--header",
        value,
        "--",
        "id",
        value
      ])
    }
  })

  it("keeps the values it hands on free of anything that a parser could take for something else", () => {
    expect(guard("--help me ")).toMatch(/^v:[A-Za-z0-9%.-]+$/)
    expect(unguard(guard("--help me "))).toBe("--help me ")
  })

  it("takes what follows -- as arguments, and a negative word too", () => {
    expect(words("send", "id", "--", "--raw")).toEqual(["send", "--", "id", "--raw"])
    expect(words("send", "id", "-5")).toEqual(["send", "--", "id", "-5"])
  })

  it("keeps options apart that are read elsewhere", () => {
    const { given, words } = Either.getOrThrow(reading("send", "--topic", "a", "--topic=b", "id", "x"))
    expect([...given]).toEqual([["topic", "b"]])
    expect(words).not.toContain("--topic")
  })

  it("asks for help wherever --help stands, except behind --", () => {
    expect(words("send", "id", "--help", "--nonsense")).toEqual(["send", "--help"])
    expect(words("send", "-h")).toEqual(["send", "--help"])
    expect(words()).toEqual(["--help"])
  })

  it("that cannot be read is refused by name", () => {
    expect(refusal("sned")).toMatch(/no command 'sned'/)
    expect(refusal("send", "--rwa")).toMatch(/no option '--rwa'/)
    expect(refusal("send", "--header")).toMatch(/'--header' needs a value/)
    expect(refusal("send", "--raw=yes")).toMatch(/'--raw' takes no value/)
    expect(refusal("--raw")).toMatch(/name a command/)
  })
})
