/** Runs `wsm` inside the test with a host that records, or as a process of its own. */
import { spawn } from "node:child_process"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { CliHost, OutputClosed } from "../../src/cli/CliHost.js"
import { program } from "../../src/cli/Program.js"
import { builtDist } from "../support/built.js"

export interface HostOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly terminal?: boolean
  readonly columns?: number
  readonly stdin?: string
  /** Called with all that is written, to standard output and standard error. */
  readonly wrote?: (text: string) => void
  /** the reader of standard output goes away after this many writes */
  readonly closeAfter?: number
}

export interface Ran {
  readonly status: number
  readonly out: string
  readonly err: string
  /** milliseconds the command asked for, to end after a signal */
  readonly endWithin: number | undefined
}

/** In this process, with nothing of the real environment. */
export const wsm = (argv: ReadonlyArray<string>, options: HostOptions = {}): Effect.Effect<Ran> =>
  Effect.gen(function* () {
    const out: Array<Buffer> = []
    const err: Array<string> = []
    let endWithin: number | undefined
    const { wrote = () => {} } = options
    const terminal = options.terminal === true
    const status = yield* Effect.provideService(program(argv, "9.9.9").run, CliHost, {
      env: options.env ?? {},
      terminal,
      colour: terminal,
      columns: () => (terminal ? (options.columns ?? 100) : undefined),
      write: (text) =>
        out.length >= (options.closeAfter ?? Infinity)
          ? Effect.fail(new OutputClosed())
          : Effect.sync(() => {
              out.push(Buffer.from(text))
              wrote(text.toString())
            }),
      complain: (line) =>
        Effect.sync(() => {
          err.push(`${line}\n`)
          wrote(line)
        }),
      stdin: Effect.succeed(Buffer.from(options.stdin ?? "")),
      endWithin: (millis) => Effect.sync(() => void (endWithin = millis))
    })
    return { status, out: Buffer.concat(out).toString(), err: err.join(""), endWithin }
  })

/** The build that all processes of a test file run: the sources may change meanwhile. */
let build: Promise<string> | undefined
export const built = (): Promise<string> => (build ??= builtDist())

/** A process of its own, built from `src`. */
export const start = async (argv: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) => {
  const main = join(await built(), "main.js")
  const child = spawn(process.execPath, [main, ...argv], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const output = { out: "", err: "" }
  const waiting = new Set<() => void>()
  const took = (to: "out" | "err") => (text: string) => {
    output[to] += text
    for (const look of waiting) look()
  }
  child.stdout.setEncoding("utf8").on("data", took("out"))
  child.stderr.setEncoding("utf8").on("data", took("err"))
  const ended = new Promise<{ status: number | null; signal: string | null }>((resolve) =>
    child.on("close", (status, signal) => {
      resolve({ status, signal })
      for (const look of waiting) look()
    })
  )
  return {
    child,
    output,
    ended,
    /** Resolves with what matches on standard output; rejects when the process ends without it. */
    line: (pattern: RegExp): Promise<RegExpExecArray> =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = pattern.exec(output.out)
          if (found === null && child.exitCode === null && child.signalCode === null) return
          waiting.delete(look)
          if (found !== null) resolve(found)
          else reject(new Error(`wsm ${argv.join(" ")} ended without ${pattern}: ${output.out}${output.err}`))
        }
        waiting.add(look)
        look()
      })
  }
}

/** Runs a process to its end. */
export const spawned = async (argv: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) => {
  const { ended, output } = await start(argv, env)
  return { ...(await ended), ...output }
}
