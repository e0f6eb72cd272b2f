/** The host of a real process. */
import * as Effect from "effect/Effect"
import { type CliHostShape, OutputClosed } from "./CliHost.js"

/** Makes the host; `endWithin` is where the wish for more time to end goes. */
export const processCliHost = (endWithin: (millis: number) => void): CliHostShape => {
  const { env, stderr, stdin, stdout } = process
  const terminal = stdout.isTTY
  // a reader that goes away is seen where the write is awaited; without a listener it would end the process
  stdout.on("error", () => {})
  stderr.on("error", () => {})
  return {
    env,
    terminal,
    colour: terminal && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb",
    // some terminals do not know their width, and say 0
    columns: () => (terminal ? stdout.columns || 80 : undefined),
    write: (text) =>
      Effect.async<void, OutputClosed>((resume) => {
        stdout.write(text, (error) => resume(error ? Effect.fail(new OutputClosed()) : Effect.void))
      }),
    complain: (line) =>
      Effect.async<void>((resume) => {
        stderr.write(`${line}\n`, () => resume(Effect.void))
      }),
    stdin: Effect.promise(async () => {
      const parts: Array<Buffer> = []
      for await (const part of stdin) parts.push(part as Buffer)
      return Buffer.concat(parts)
    }),
    endWithin: (millis) => Effect.sync(() => endWithin(millis))
  }
}
