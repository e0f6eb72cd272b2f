import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { layer } from "../../src/observability/Logging.js"

const logged = (
  settings: Parameters<typeof layer>[0],
  program: Effect.Effect<void>,
  colour = false
): Effect.Effect<ReadonlyArray<string>> => {
  const lines: Array<string> = []
  const output = { colour, write: (text: string) => void lines.push(text) }
  return TestClock.setTime(1_750_000_000_123).pipe(
    Effect.zipRight(program),
    Effect.provide(layer(settings, output)),
    Effect.as(lines)
  )
}
const program = Effect.logWarning("the broker is away", 3).pipe(
  Effect.annotateLogs({ connection: "c-1", attempt: 2, token: Redacted.make("hunter2"), level: "mine" })
)

describe("the log", () => {
  it.effect("is one JSON object a line, with time, level, message and annotations", () =>
    Effect.gen(function* () {
      const [line, ...rest] = yield* logged({ logFormat: "json", logLevel: "info" }, program)
      expect(rest).toEqual([])
      expect(line!.endsWith("}\n")).toBe(true)
      expect(Object.keys(JSON.parse(line!)).slice(0, 3)).toEqual(["timestamp", "level", "message"])
      expect(JSON.parse(line!)).toEqual({
        timestamp: "2025-06-15T15:06:40.123Z",
        level: "WARN",
        message: "the broker is away 3",
        connection: "c-1",
        attempt: 2,
        token: "***"
      })
    })
  )

  it.effect("is one line for people, coloured only where asked", () =>
    Effect.gen(function* () {
      const settings = { logFormat: "pretty", logLevel: "info" } as const
      const [line] = yield* logged(settings, Effect.annotateLogs(Effect.logWarning("away"), "connection", "c-1"))
      expect(line).toBe("15:06:40.123 WARN  away connection=c-1\n")
      const [coloured] = yield* logged(settings, Effect.logError("away"), true)
      expect(coloured).toContain("\u001b[31mERROR\u001b[0m")
    })
  )

  it.effect("keeps what a peer sent inside its line", () =>
    Effect.gen(function* () {
      const evil = Effect.annotateLogs(Effect.logInfo("a\r\n12:00 ERROR forged \u001b[2J"), "reason", "x\ny")
      const [pretty, ...more] = yield* logged({ logFormat: "pretty", logLevel: "info" }, evil)
      expect(pretty).toBe("15:06:40.123 INFO  a\\u000d\\u000a12:00 ERROR forged \\u001b[2J reason=x\\u000ay\n")
      const json = yield* logged({ logFormat: "json", logLevel: "info" }, evil)
      expect([more.length, json.join("").split("\n").length]).toEqual([0, 2])
    })
  )

  it.effect("tells a cause, and never a secret in it", () =>
    Effect.gen(function* () {
      const cause = Cause.fail(new Error("refused", { cause: new Error("ECONNREFUSED") }))
      const [line] = yield* logged({ logFormat: "json", logLevel: "info" }, Effect.logError("dial failed", cause))
      expect(JSON.parse(line!)).toMatchObject({
        message: "dial failed",
        cause: expect.stringContaining("ECONNREFUSED")
      })
      const object = Effect.logInfo({ token: Redacted.make("hunter2") })
      for (const logFormat of ["json", "pretty"] as const) {
        expect((yield* logged({ logFormat, logLevel: "info" }, object)).join("")).not.toContain("hunter2")
      }
    })
  )

  it.effect("leaves out what is below its level, and all of it at none", () =>
    Effect.gen(function* () {
      const all = Effect.zipRight(Effect.logDebug("d"), Effect.zipRight(Effect.logInfo("i"), Effect.logError("e")))
      const count = (logLevel: "debug" | "info" | "error" | "none") =>
        Effect.map(logged({ logFormat: "json", logLevel }, all), (lines) => lines.length)
      expect(yield* Effect.all([count("debug"), count("info"), count("error"), count("none")])).toEqual([3, 2, 1, 0])
    })
  )
})
