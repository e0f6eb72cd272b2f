/**
 * The settings of one instance, checked and with their defaults (README.md, Settings). Where each comes from, its text for
 * operators and its rules stand in `config/Catalogue.ts`; the relations between them in `config/Relations.ts`.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { fromOptions, type SettingsError } from "./Load.js"
import type { SettingsShape } from "./SettingsShape.js"

/** The settings of this instance; the same as long as it lives. */
export class Settings extends Context.Tag("websocketmanager/config/Settings")<Settings, SettingsShape>() {
  /** Settings given in code, under the same checks as those of the environment; what is left out is the default. */
  static readonly layer = (options: Partial<SettingsShape> = {}): Layer.Layer<Settings, SettingsError> =>
    Layer.effect(this, fromOptions(options))
}
