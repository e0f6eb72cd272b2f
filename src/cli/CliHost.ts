/**
 * What the process gives a command: its environment, where to write, and how long an interrupted command may still take.
 * Made once, in `main.ts`; a test makes its own.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"

/** Represents a standard output whose reader went away (`wsm ls | head`). The command ends quietly. */
export class OutputClosed extends Data.TaggedError("OutputClosed")<{}> {}

export interface CliHostShape {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Standard output, as it stands; resumes when it was taken. */
  readonly write: (text: string | Uint8Array) => Effect.Effect<void, OutputClosed>
  /** One line on standard error. */
  readonly complain: (line: string) => Effect.Effect<void>
  /** Standard output is a terminal. */
  readonly terminal: boolean
  /** Standard output is a terminal that shows colours, and NO_COLOR is not set. */
  readonly colour: boolean
  /** Columns of the terminal; undefined: not a terminal */
  readonly columns: () => number | undefined
  /** All of standard input. */
  readonly stdin: Effect.Effect<Uint8Array>
  /** How long this command may take to end after a signal, milliseconds; then the process ends anyway. */
  readonly endWithin: (millis: number) => Effect.Effect<void>
}

export class CliHost extends Context.Tag("websocketmanager/cli/Host")<CliHost, CliHostShape>() {}
