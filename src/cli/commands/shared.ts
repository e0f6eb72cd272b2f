/** What the commands that talk to a manager have in common. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CliHost, type OutputClosed } from "../CliHost.js"
import { CommandFailed } from "../Failure.js"
import type { Style } from "../Format.js"
import { flag, optional } from "../Parameters.js"
import { DEFAULT_SERVER } from "../RemoteManager.js"
import { integer, serverUrl } from "../Values.js"

/** The options of every command that talks to a manager. */
export const remote = {
  server: optional("server", "URL", serverUrl, `The manager to call; WSM_SERVER, else ${DEFAULT_SERVER}`),
  json: flag("json", "JSON for programs, one value a line")
}

export const count = optional("count", "N", integer(1, 1_000_000_000), "End after N of them")

/** One line on standard output. */
export const print = (line: string): Effect.Effect<void, OutputClosed, CliHost> =>
  Effect.flatMap(CliHost, ({ write }) => write(`${line}\n`))

/** A word to the person at the terminal, beside the output; programs do not get it. */
export const hint = (line: string): Effect.Effect<void, never, CliHost> =>
  Effect.flatMap(CliHost, ({ complain, terminal }) => (terminal ? complain(line) : Effect.void))

/**
 * Prints what comes, a line each, until the person ends it. A stream that ends by itself before `count` items is a
 * failure: the reader of the output must know that more may have happened.
 */
export const follow = <A, E>(
  opened: Effect.Effect<Stream.Stream<A, E>, E, Scope.Scope>,
  options: {
    readonly count: number | undefined
    readonly json: boolean
    readonly toJson: (item: A) => string
    readonly toLine: (style: Style, item: A) => string
    /** what is followed, shown until the first line comes */
    readonly what: string
    readonly ended: string
  }
): Effect.Effect<void, E | CommandFailed | OutputClosed, CliHost | Scope.Scope> =>
  Effect.gen(function* () {
    const host = yield* CliHost
    const items = yield* opened
    yield* hint(`following ${options.what}; Ctrl-C ends it`)
    let seen = 0
    const limited = options.count === undefined ? items : Stream.take(items, options.count)
    yield* Stream.runForEachChunk(limited, (chunk) => {
      const style = { colour: host.colour, columns: host.columns() }
      let text = ""
      for (const item of chunk) {
        text += `${options.json ? options.toJson(item) : options.toLine(style, item)}\n`
        seen++
      }
      return host.write(text)
    })
    if (seen !== options.count) return yield* new CommandFailed({ line: options.ended })
  })
