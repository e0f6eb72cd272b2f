/** Runs an instance until it is asked to end. */
import * as Effect from "effect/Effect"
import type { SettingsShape } from "../config/Settings.js"

export interface ServeOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly onStarted: (info: {
    readonly httpUrl: string
    readonly grpcAddress: string
    readonly instanceId: string
  }) => Effect.Effect<void>
}

/** Exit status of the process. */
export const serve = (_settings: SettingsShape, _options: ServeOptions): Effect.Effect<number> => Effect.succeed(1)
