/**
 * A value that stands in a file, so that it is neither in the list of processes nor in the history of a shell: `@FILE`; `-` and
 * `@-` are standard input, `@@text` is the text `@text`.
 */
import { readFile } from "node:fs/promises"
import * as Effect from "effect/Effect"
import { CliHost } from "./CliHost.js"
import { UsageError } from "./Failure.js"
import { plain } from "./Text.js"

/** Reads values for one command: standard input can be read once. */
export const fileReader = () => {
  let taken = false
  return (value: string): Effect.Effect<string, UsageError, CliHost> => {
    if (value.startsWith("@@")) return Effect.succeed(value.slice(1))
    if (value === "-" || value === "@-") {
      if (taken) return Effect.fail(new UsageError({ line: "standard input is asked for twice, and can be read once" }))
      taken = true
      return Effect.flatMap(CliHost, ({ stdin }) => Effect.map(stdin, (bytes) => Buffer.from(bytes).toString("utf8")))
    }
    if (!value.startsWith("@")) return Effect.succeed(value)
    const file = value.slice(1)
    return Effect.tryPromise({
      try: () => readFile(file, "utf8"),
      catch: (error) =>
        new UsageError({
          line: `the file '${plain(file)}' cannot be read: ${(error as NodeJS.ErrnoException).code ?? "unknown"} ('@@' is a value that begins with '@')`
        })
    })
  }
}
