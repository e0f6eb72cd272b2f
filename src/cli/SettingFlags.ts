/** The settings given as flags, by name without dashes, as they were written. */
import * as Context from "effect/Context"

export class SettingFlags extends Context.Tag("websocketmanager/cli/SettingFlags")<
  SettingFlags,
  Readonly<Record<string, string>>
>() {}
