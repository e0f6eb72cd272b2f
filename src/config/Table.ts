/** The settings as text for people: the README's table, and the lines of `check-config`. */
import { BESIDE, CATALOGUE, entryOf, flagOf, isSecret, KEYS, type SettingKey, show } from "./Catalogue.js"
import type { Loaded, Source } from "./Load.js"

/** Markdown. */
export const settingsTable = (): string =>
  [
    "| setting | flag | default | |",
    "|---|---|---|---|",
    ...KEYS.map(
      (key) =>
        `| \`${CATALOGUE[key].env}\` | ${isSecret(key) ? "" : `\`--${flagOf(key)}\``} | ${standardText(key)} | ${cell(CATALOGUE[key].text)} |`
    ),
    ...BESIDE.map(([name, text]) => `| \`${name}\` | | | ${cell(text)} |`)
  ].join("\n")

const cell = (text: string): string => text.replaceAll("|", "\\|")

/** The default of a setting, in Markdown. */
export const standardText = (key: SettingKey): string => {
  const { standard, standardText } = entryOf(key)
  if (standardText !== undefined) return standardText
  const shown = show(key, standard)
  return shown === "" ? "none" : `\`${shown}\``
}

/** Rules of a setting in one line, for `--help`: what it may be, its default, its text. */
export const helpText = (key: SettingKey): string =>
  `${CATALOGUE[key].text} Must be ${CATALOGUE[key].kind.rule}. Default: ${standardText(key)}.`.replaceAll("`", "")

/** What was loaded, for `check-config`: secrets as `***`. */
export const loadedRows = (
  loaded: Loaded
): ReadonlyArray<{ readonly env: string; readonly value: string; readonly source: Source }> =>
  KEYS.map((key) => ({
    env: CATALOGUE[key].env,
    value: show(key, loaded.settings[key]),
    source: loaded.sources[key]
  }))
