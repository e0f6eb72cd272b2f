/** `wsm`: from the words of a command line to an exit status. */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { CliHost, type OutputClosed } from "./CliHost.js"
import { type CommandLine, read, unguardIn } from "./CommandLine.js"
import { connectionCommands } from "./commands/connections.js"
import { fleetCommands } from "./commands/fleet.js"
import { insteadOf, isSetting, localCommands } from "./commands/local.js"
import { messageCommands } from "./commands/messages.js"
import type { CommandFailed, Ended, UsageError } from "./Failure.js"
import { commandHelp, oneLine, overview } from "./Help.js"
import { SettingFlags } from "./SettingFlags.js"

const DONE = 0
const FAILED = 1
const USAGE = 2

/** Commands that go on until they are ended: ending them is their success. */
const ENDLESS: ReadonlySet<string> = new Set(["serve", "feed", "tail", "events", "subscribe"])

const root = Command.make("wsm").pipe(
  Command.withSubcommands([...localCommands, ...connectionCommands, ...messageCommands, ...fleetCommands])
)

const environment = Layer.mergeAll(
  NodeFileSystem.layer,
  NodePath.layer,
  NodeTerminal.layer,
  CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false })
)

export interface Program {
  /** Exit status. Says itself, on standard error, why it is not 0. */
  readonly run: Effect.Effect<number, never, CliHost>
  /** A signal that ends it is its success. */
  readonly endless: boolean
  /** It is an instance. */
  readonly serves: boolean
}

/** What the words after `wsm` ask for. */
export const program = (argv: ReadonlyArray<string>, version: string): Program =>
  Either.match(read(root.descriptor, argv, isSetting, insteadOf), {
    onLeft: ({ line }) => ({ run: Effect.as(complain(line), USAGE), endless: false, serves: false }),
    onRight: (line) => ({
      run: ended(execute(line, version), line.command),
      endless: ENDLESS.has(line.command),
      serves: line.command === "serve"
    })
  })

const complain = (line: string) => Effect.flatMap(CliHost, (host) => host.complain(`wsm: ${line}`))

const execute = (line: CommandLine, version: string) =>
  Effect.gen(function* () {
    const host = yield* CliHost
    if (line.words[0] === "--version") return yield* host.write(`${version}\n`)
    if (line.words.at(-1) === "--help") {
      const text =
        line.command === ""
          ? overview(root.descriptor, version)
          : commandHelp(root.descriptor, line.command, host.columns() ?? 120)
      return yield* host.write(`${text}\n`)
    }
    const quiet = yield* Console.consoleWith((console) => Effect.succeed({ ...console, error: () => Effect.void }))
    yield* Command.run(root, { name: "wsm", version })(["node", "wsm", ...line.words]).pipe(
      Effect.provide(environment),
      Effect.provideService(SettingFlags, Object.fromEntries(line.given)),
      line.command === "serve" ? identity : Logger.withMinimumLogLevel(LogLevel.None),
      // what cannot be read is said below, in one line
      Console.withConsole(quiet)
    )
  })

type Failure = CommandFailed | Ended | OutputClosed | UsageError | ValidationError.ValidationError

/** Every way a command can end, as its exit status. */
const ended = <R>(command: Effect.Effect<void, Failure, R>, name: string): Effect.Effect<number, never, R | CliHost> =>
  command.pipe(
    Effect.as(DONE),
    Effect.catchAll((failure) => {
      switch (failure._tag) {
        case "OutputClosed":
          return Effect.succeed(DONE)
        case "Ended":
          return Effect.succeed(failure.status)
        case "CommandFailed":
          return Effect.as(complain(failure.line), FAILED)
        case "UsageError":
          return Effect.as(complain(failure.line), USAGE)
        default:
          return Effect.as(complain(`${unguardIn(oneLine(failure.error))} ('wsm ${name} --help' tells how)`), USAGE)
      }
    }),
    Effect.catchAllDefect((defect) =>
      Effect.as(complain(`a fault of its own: ${Cause.pretty(Cause.die(defect))}`), FAILED)
    )
  )
