/** Settings from flags, environment and options: flag before environment before default, all under the same checks. */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import { isLoopback } from "../common/Hosts.js"
import { VARIABLE_PREFIX } from "../domain/secrets/SecretName.js"
import { CATALOGUE, entryOf, flagOf, isSecret, KEYS, type SettingKey, show } from "./Catalogue.js"
import { MAX_RATE } from "./Kinds.js"
import { RELATIONS } from "./Relations.js"
import { secretOf } from "./SecretFile.js"
import type { SettingsShape } from "./SettingsShape.js"
import { unknownVariables } from "./UnknownVariables.js"

/** Represents a setting that is bad, or contradicts another. `message` is one line: setting, value, rule. */
export class SettingsError extends Data.TaggedError("SettingsError")<{
  /** as it was given: the variable, the flag, or the option's name */
  readonly setting: string
  /** never a secret's */
  readonly value: string
  /** as the end of "must …" */
  readonly rule: string
}> {
  override get message() {
    return `${this.setting}=${this.value} is refused: it must ${this.rule}`
  }
}

/** Where the value of a setting came from. */
export type Source = "flag" | "environment" | "file" | "option" | "default"

/** Settings that were checked, and what is to be said of them. */
export interface Loaded {
  /** every setting, with the defaults filled in */
  readonly settings: SettingsShape
  /** where each value came from */
  readonly sources: Readonly<Record<SettingKey, Source>>
  /** one line for each `WSM_…` variable that is no setting, and for each secret's file that every user of the host can read */
  readonly warnings: ReadonlyArray<string>
}

/** What settings are read from; a flag goes before a variable. */
export interface LoadOptions {
  /** the variables of the process, `WSM_…` */
  readonly env: Readonly<Record<string, string | undefined>>
  /** by name without dashes: `http-port` */
  readonly flags?: Readonly<Record<string, string | undefined>>
  /** whether the log goes to a terminal */
  readonly terminal?: boolean
}

/** Settings of a process. */
export const load = (options: LoadOptions): Either.Either<Loaded, SettingsError> =>
  Either.gen(function* () {
    const values: Partial<Record<SettingKey, unknown>> = {}
    const sources: Partial<Record<SettingKey, Source>> = {}
    const warnings: Array<string> = []
    for (const key of KEYS) {
      const { emptyIsValue, env, kind } = entryOf(key)
      if (isSecret(key)) {
        const given = yield* Either.mapLeft(secretOf(options.env, env), (fault) => new SettingsError(fault))
        if (given === undefined) continue
        const value = kind.parse(given.text)
        if (value === undefined || !kind.holds(value)) {
          const { file = "***", setting } = given
          const rule = `${given.file === undefined ? "be" : "hold"} ${kind.rule}`
          return yield* Either.left(new SettingsError({ setting, value: oneLine(file), rule }))
        }
        values[key] = value
        sources[key] = given.file === undefined ? "environment" : "file"
        if (given.warning !== undefined) warnings.push(given.warning)
        continue
      }
      const flag = options.flags?.[flagOf(key)]
      const text = flag ?? options.env[env]
      if (text === undefined || (text === "" && emptyIsValue !== true)) continue
      const value = kind.parse(text)
      const setting = nameOf(key, flag === undefined ? "environment" : "flag")
      if (value === undefined || !kind.holds(value)) {
        const shown = oneLine(value === undefined ? text : kind.show(value))
        const fault = kind.fault?.(text)
        const rule = `be ${kind.rule}${fault === undefined ? "" : `: ${oneLine(fault)}`}`
        return yield* Either.left(new SettingsError({ setting, value: shown, rule }))
      }
      values[key] = value
      sources[key] = flag === undefined ? "environment" : "flag"
    }
    const standard = { logFormat: options.terminal === true ? "pretty" : "json" } as const
    const given = { ...standard, ...(values as Partial<SettingsShape>) }
    const all = yield* complete(given, sources, secretsFrom(given, options.env, sources.secretStore !== undefined))
    return { ...all, warnings: [...unknownVariables(options.env), ...warnings] }
  })

/** Settings of a program that composes the manager itself: what is left out is the default. */
export const fromOptions = (
  options: Partial<SettingsShape> = {},
  env: LoadOptions["env"] = {}
): Either.Either<SettingsShape, SettingsError> =>
  Either.gen(function* () {
    const sources: Partial<Record<SettingKey, Source>> = {}
    for (const key of KEYS) {
      const value = options[key]
      if (value === undefined) continue
      sources[key] = "option"
      const { kind } = entryOf(key)
      if (!kind.holds(value)) {
        return yield* Either.left(
          new SettingsError({ setting: key, value: oneLine(kind.show(value)), rule: `be ${kind.rule}` })
        )
      }
    }
    // A process hands in every setting, defaults too. So a secret store counts only where its name is not the default.
    const { secretStore = CATALOGUE.secretStore.standard } = options
    const from = secretsFrom(options, env, secretStore !== CATALOGUE.secretStore.standard)
    return (yield* complete(options, sources, from)).settings
  })

/** Where secrets come from, as far as settings and environment tell. */
const secretsFrom = (
  { backing, secretsDir = "" }: Partial<SettingsShape>,
  env: LoadOptions["env"],
  storeNamed: boolean
): ReadonlyArray<string> => [
  ...(secretsDir === "" ? [] : [CATALOGUE.secretsDir.env]),
  ...(backing === "dapr" && storeNamed ? [CATALOGUE.secretStore.env] : []),
  ...Object.keys(env).filter((name) => name.startsWith(VARIABLE_PREFIX) && env[name] !== undefined)
]

const complete = (
  given: Partial<SettingsShape>,
  sources: Partial<Record<SettingKey, Source>>,
  secretsFrom: ReadonlyArray<string>
) =>
  Either.gen(function* () {
    const settings = Object.fromEntries(
      KEYS.map((key) => [key, given[key] ?? CATALOGUE[key].standard])
    ) as unknown as SettingsShape
    const dialRatePerAddress = given.dialRatePerAddress ?? Math.min(MAX_RATE, 5 * settings.dialRatePerHost)
    const derived: SettingsShape = {
      ...settings,
      egress: given.egress ?? (isLoopback(settings.host) ? "any" : CATALOGUE.egress.standard),
      topics: given.topics ?? (isLoopback(settings.host) ? ["*"] : CATALOGUE.topics.standard),
      dialRatePerAddress,
      dialRateTotal:
        given.dialRateTotal ??
        Math.max(
          CATALOGUE.dialRateTotal.standard,
          dialRatePerAddress,
          Math.min(MAX_RATE, 20 * settings.dialRatePerHost)
        )
    }
    for (const { holds, key, other, rule } of RELATIONS) {
      if (holds(derived, { secretsFrom })) continue
      const beside =
        other === undefined ? "" : ` ${nameOf(other, sources[other])}=${oneLine(show(other, derived[other]))}`
      return yield* Either.left(
        new SettingsError({
          setting: nameOf(key, sources[key]),
          value: oneLine(show(key, derived[key])),
          rule: `${rule}${beside}`
        })
      )
    }
    const all = Object.fromEntries(KEYS.map((key) => [key, sources[key] ?? "default"])) as Record<SettingKey, Source>
    return { settings: derived, sources: all }
  })

const nameOf = (key: SettingKey, source: Source | undefined): string =>
  source === "flag" ? `--${flagOf(key)}` : source === "option" ? key : CATALOGUE[key].env

/** A value inside a message of one line. */
const oneLine = (value: string): string => {
  const clean = value.replace(/\p{Cc}/gu, "\ufffd")
  return clean.length <= 128 ? clean : `${clean.slice(0, 127)}…`
}

/** Every default of the contract, listening on loopback. */
export const defaults: SettingsShape = Either.getOrThrow(fromOptions())

/** For tests and trials on one host: nothing on disk, any port, short periods. */
export const fast: SettingsShape = Either.getOrThrow(
  fromOptions({
    dataDir: "",
    httpPort: 0,
    grpcPort: 0,
    heartbeatInterval: Duration.millis(500),
    heartbeatTtl: Duration.millis(1500),
    reclaimInterval: Duration.millis(100),
    drainTimeout: Duration.seconds(3),
    logLevel: "warning"
  })
)
