/** Commands that need no manager: serve, check-config, backup, feed. */
import * as Command from "@effect/cli/Command"
import type * as Options from "@effect/cli/Options"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { CATALOGUE, flagOf, isSecret, KEYS } from "../../config/Catalogue.js"
import * as Kinds from "../../config/Kinds.js"
import { load, type Loaded } from "../../config/Load.js"
import { fileVariable } from "../../config/SecretFile.js"
import type { SettingsShape } from "../../config/SettingsShape.js"
import { helpText, loadedRows } from "../../config/Table.js"
import { CliHost } from "../CliHost.js"
import { CommandFailed, Ended } from "../Failure.js"
import { argument, flag, optional, optionalText } from "../Parameters.js"
import { DEFAULT_SERVER } from "../RemoteManager.js"
import { SettingFlags } from "../SettingFlags.js"
import { jsonLine, plain, size as shownSize, table } from "../Text.js"
import { duration, integer, rate, size } from "../Values.js"
import { print } from "./shared.js"

/**
 * The settings as options: for `--help` and for their names. Their values are read by the settings' own rules, the same as
 * the environment's, and reach the commands as `SettingFlags`.
 */
const settingOptions: Record<string, Options.Options<unknown>> = Object.fromEntries(
  KEYS.filter((key) => !isSecret(key)).map((key) => {
    const name = flagOf(key)
    const isFlag = (CATALOGUE[key].kind as unknown) === Kinds.flag
    return [name, isFlag ? flag(name, helpText(key)) : optionalText(name, "V", helpText(key))]
  })
)

const DATA_DIR = flagOf("dataDir")
const SETTING_NAMES: ReadonlySet<string> = new Set(KEYS.filter((key) => !isSecret(key)).map(flagOf))

const SECRETS: ReadonlyMap<string, string> = new Map(
  KEYS.filter(isSecret).map((key) => [`--${flagOf(key)}`, CATALOGUE[key].env])
)

/** What to do instead of giving a secret as a flag; undefined: this is no secret's. */
export const insteadOf = (option: string): string | undefined => {
  const env = SECRETS.get(option)
  return env === undefined
    ? undefined
    : `there is no '${option}', for a command line is seen by everybody on this host: use ${env}, or ${fileVariable(env)} with the file that holds it`
}

/** Whether an option of a command is a setting. */
export const isSetting = (command: string, option: string): boolean =>
  command === "backup"
    ? option === DATA_DIR
    : (command === "serve" || command === "check-config") && SETTING_NAMES.has(option)

/** The settings of this process. A bad one is one line; a variable that is no setting is a warning. */
const settings: Effect.Effect<Loaded, CommandFailed, CliHost | SettingFlags> = Effect.gen(function* () {
  const { complain, env, terminal } = yield* CliHost
  const flags = yield* SettingFlags
  const loaded = yield* Either.mapLeft(
    load({ env, flags, terminal }),
    ({ message }) => new CommandFailed({ line: plain(message) })
  )
  for (const warning of loaded.warnings) yield* complain(`wsm: warning: ${plain(warning)}`)
  return loaded
})

/** Past the drain's own time the process ends whatever still holds it. */
const GRACE_MILLIS = 5000

const serve = Command.make("serve", settingOptions, () =>
  Effect.gen(function* () {
    const host = yield* CliHost
    const loaded = yield* settings
    yield* host.endWithin(Duration.toMillis(loaded.settings.drainTimeout) + GRACE_MILLIS)
    const { serve } = yield* Effect.promise(() => import("../../app/Serve.js"))
    const status = yield* serve(loaded.settings, {
      env: host.env,
      // the reader of the output may leave: the service stays
      onStarted: (info) => Effect.ignore(host.write(`${howToTry(info, loaded.settings.backing).join("\n")}\n`))
    })
    if (status !== 0) return yield* new Ended({ status })
  })
).pipe(Command.withDescription("Run an instance of the manager"))

interface Started {
  readonly httpUrl: string
  readonly grpcAddress: string
  readonly instanceId: string
}

/** The three lines a newcomer starts from. A topic behind Dapr is read at the broker, not here. */
export const howToTry = (
  { grpcAddress, httpUrl, instanceId }: Started,
  backing: SettingsShape["backing"] = "embedded"
): ReadonlyArray<string> => {
  const server = httpUrl.replace(/\/+$/, "") === DEFAULT_SERVER ? "" : ` --server ${httpUrl}`
  const read = backing === "embedded" ? `npx wsm subscribe demo${server}` : "read the topic demo at your broker"
  return [
    `websocketmanager is up: http ${httpUrl}  grpc ${grpcAddress}  (instance ${instanceId})`,
    `try:   npx wsm feed   then   npx wsm connect ws://127.0.0.1:${FEED_PORT} --topic demo${server}`,
    `then:  ${read}   ·   npx wsm events${server}   ·   README.md has the rest`
  ]
}

const checkConfig = Command.make(
  "check-config",
  { json: flag("json", "JSON for programs"), ...settingOptions },
  ({ json }) =>
    Effect.gen(function* () {
      const loaded = yield* settings
      const rows = loadedRows(loaded)
      if (json) {
        const entries = rows.map(({ env, source, value }) => [env, { value, source }] as const)
        return yield* print(jsonLine({ settings: Object.fromEntries(entries), warnings: loaded.warnings }))
      }
      yield* print(
        table(
          ["SETTING", "VALUE", "SOURCE"],
          rows.map(({ env, source, value }) => [env, value === "" ? "-" : value, source])
        )
      )
    })
).pipe(Command.withDescription("Show the settings that would be in force, and where each comes from"))

const backup = Command.make(
  "backup",
  {
    file: argument("FILE", "A new file for the copy; put it back as state.db of an empty folder"),
    [DATA_DIR]: settingOptions[DATA_DIR]!
  },
  ({ file }) =>
    Effect.gen(function* () {
      const { settings: known } = yield* settings
      const { backup } = yield* Effect.promise(() => import("../../app/Backup.js"))
      const bytes = yield* Effect.mapError(
        backup(known, file as string),
        (error) => new CommandFailed({ line: plain(`cannot back up: ${error.reason ?? error.message}`) })
      )
      yield* print(`${plain(file as string)}: ${shownSize(bytes)}, the state of ${plain(known.dataDir)} as it was now`)
    })
).pipe(Command.withDescription("Copy the embedded state into a file, while instances use it"))

export const FEED_PORT = 8999

const feed = Command.make(
  "feed",
  {
    port: optional("port", "N", integer(0, 65535), `The port to listen on, else ${FEED_PORT}; 0 is any free one`),
    host: optionalText("host", "ADDRESS", "The address to listen on, else 127.0.0.1"),
    rate: optional("rate", "R", rate, "Ticks for each socket, as '200 per second'; else 10 per second"),
    size: optional("size", "SIZE", size(16 * 1024 * 1024), "Pad each tick to this many bytes"),
    dropEvery: optional("drop-every", "D", duration, "Cut every socket this often, to see reconnects")
  },
  (options) =>
    Effect.gen(function* () {
      const host = yield* CliHost
      const { feed } = yield* Effect.promise(() => import("../Feed.js"))
      const perSecond = options.rate ?? 10
      const url = yield* feed({
        host: options.host ?? "127.0.0.1",
        port: options.port ?? FEED_PORT,
        rate: perSecond,
        size: options.size ?? 0,
        dropEvery: options.dropEvery,
        say: (line) => Effect.runFork(host.complain(line))
      })
      const drops = options.dropEvery === undefined ? "" : `, cut every ${options.dropEvery / 1000} s`
      yield* print(`feed is up: ${url} (${perSecond} ticks per second${drops}; it echoes what it receives)`)
      yield* print(`then:  npx wsm connect ${url} --topic demo   and   npx wsm subscribe demo   ·   Ctrl-C ends it`)
      yield* Effect.never
    }).pipe(Effect.scoped)
).pipe(Command.withDescription("A sample WebSocket server to try things on"))

export const localCommands = [serve, feed, checkConfig, backup] as const
