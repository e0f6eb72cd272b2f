/**
 * Servers of others as child processes of a test: started until they answer, stopped, killed, frozen, started again.
 *
 * Each leads a process group of its own. None outlives the test: the end of the scope kills it with all it started, and on
 * Linux the kernel does so should the test process itself be killed.
 */
import { type ChildProcess, spawn } from "node:child_process"
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync
} from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"

const READY_MS = 30_000
const STOP_MS = 30_000
const POLL_MS = 20
const ANSWER_MS = 3000
const LAST_LINES = 25

/** A server did not do what it was told; the message has its last words and where the rest of them is. */
export class ProcessFailed extends Data.TaggedError("ProcessFailed")<{ readonly message: string }> {}

export interface ServerOptions {
  /** for messages and the log file */
  readonly name: string
  /** name on the path, or an absolute path */
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** added to PATH and HOME; nothing else of our environment is passed on */
  readonly env?: Readonly<Record<string, string>>
  /** where the log goes */
  readonly folder: string
  /** run as this user instead of ours */
  readonly user?: { readonly uid: number; readonly gid: number }
  /** what a plain stop sends; SIGTERM unless told */
  readonly stopSignal?: NodeJS.Signals
  /** looked at until it is true; may fail meanwhile */
  readonly ready: () => Promise<boolean>
}

/** A server as a test handles it; started already, and gone with the scope. */
export interface Server {
  readonly name: string
  /** the file all its processes wrote to, one after the other */
  readonly logFile: string
  readonly logs: Effect.Effect<string>
  /** undefined while it is down */
  readonly pid: () => number | undefined
  /** asks it to end, and waits until it has */
  readonly stop: Effect.Effect<void, ProcessFailed>
  /** SIGKILL to it and all it started */
  readonly kill: Effect.Effect<void>
  /** SIGSTOP: it accepts and never answers */
  readonly pause: Effect.Effect<void>
  /** SIGCONT */
  readonly resume: Effect.Effect<void>
  /** again, on the same port and data; nothing if it runs */
  readonly start: Effect.Effect<void, ProcessFailed>
  /** resolves when the present process has ended, by whatever cause, to what it ended with */
  readonly ended: Effect.Effect<number | NodeJS.Signals>
}

/** Started, and answering. */
export const startServer = (options: ServerOptions): Effect.Effect<Server, ProcessFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Running(options)),
    (server) => server.kill
  ).pipe(Effect.tap((server) => server.start))

/**
 * A folder for the data and logs of servers, gone with the scope, but kept, and named on standard output, when the scope
 * ends with a failure.
 */
export const serverFolder = (name: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), `wsm-${name}-`))),
    (folder, exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) rmSync(folder, { recursive: true, force: true })
        else process.stdout.write(`kept for reading: ${folder}\n`)
      })
  )

/** Where a program is: on the path, where Debian puts daemons, or in one of the folders named. */
export const find = (name: string, folders: ReadonlyArray<string> = []): string | undefined => {
  const path = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin", ...folders]
  return path
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find(executable)
}

/** `--name value` of each; one that is undefined is left out. */
export const flags = (values: Readonly<Record<string, string | number | undefined>>): ReadonlyArray<string> =>
  Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, `${value}`]))

/** Not more than a try: who accepts and stays silent is asked again. */
const within = (answer: Promise<boolean>, millis: number): Promise<boolean> => {
  let timer: NodeJS.Timeout
  const silent = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, millis, false)))
  return Promise.race([answer, silent]).finally(() => clearTimeout(timer))
}

/** For what a server tells when asked: it may be down. */
export const asked = <A>(ask: () => Promise<A>): Effect.Effect<A, ProcessFailed> =>
  Effect.tryPromise({ try: ask, catch: (cause) => new ProcessFailed({ message: String(cause) }) })

const executable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Whether no thread of it runs: a stop reaches one thread after the other, and until then the others still answer. */
const stands = (pid: number): boolean => {
  const tasks = `/proc/${pid}/task`
  if (!existsSync(tasks)) return true
  try {
    return readdirSync(tasks).every((task) => {
      const stat = readFileSync(join(tasks, task, "stat"), "utf8")
      return /^[TtZX]/.test(stat.slice(stat.lastIndexOf(")") + 2))
    })
  } catch {
    return false // a thread ended meanwhile
  }
}

class Running implements Server {
  readonly name: string
  readonly logFile: string
  private child: ChildProcess | undefined
  private end: Promise<number | NodeJS.Signals> = Promise.resolve(0)

  constructor(private readonly options: ServerOptions) {
    this.name = options.name
    this.logFile = join(options.folder, `${options.name}.log`)
  }

  readonly pid = (): number | undefined => this.child?.pid
  readonly logs = Effect.sync(() => (existsSync(this.logFile) ? readFileSync(this.logFile, "utf8") : ""))
  readonly ended = Effect.promise(() => this.end)
  readonly kill = Effect.promise(async () => {
    this.signalAll("SIGKILL")
    await this.end
  })
  readonly pause = Effect.promise(async () => {
    this.signalAll("SIGSTOP")
    for (let pid = this.pid(); pid !== undefined && !stands(pid); pid = this.pid()) await delay(1)
  })
  readonly resume = Effect.sync(() => this.signalAll("SIGCONT"))

  readonly start = Effect.suspend(() => {
    if (this.child !== undefined) return Effect.void
    this.spawn()
    return Effect.tryPromise({
      try: () => this.answers(),
      catch: (cause) => this.failed(cause instanceof Error ? cause.message : String(cause))
    }).pipe(Effect.onError(() => this.kill))
  })

  readonly stop = Effect.tryPromise({
    try: async () => {
      const { child } = this
      if (child === undefined) return
      // A frozen process would sleep on it.
      this.signalAll("SIGCONT")
      child.kill(this.options.stopSignal ?? "SIGTERM")
      const timer = setTimeout(() => this.signalAll("SIGKILL"), STOP_MS)
      const outcome = await this.end
      clearTimeout(timer)
      if (outcome === "SIGKILL") throw new Error(`did not stop within ${STOP_MS} ms`)
    },
    catch: (cause) => this.failed((cause as Error).message)
  })

  private spawn(): void {
    const { args, command, env, folder, user } = this.options
    const log = openSync(this.logFile, "a")
    const [program, ...words] = [...PARENTAL, ...identity(user), command, ...args]
    const child = spawn(program!, words, {
      cwd: folder,
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...env },
      stdio: ["ignore", log, log],
      detached: true,
      ...(PARENTAL.length === 0 ? user : undefined)
    })
    closeSync(log)
    this.child = child
    this.end = new Promise((resolve) => {
      const over = (outcome: number | NodeJS.Signals): void => {
        if (this.child === child) this.child = undefined
        resolve(outcome)
      }
      child.once("exit", (code, signal) => over(code ?? signal ?? 0))
      child.once("error", () => over(-1))
    })
  }

  private async answers(): Promise<void> {
    const deadline = Date.now() + READY_MS
    for (;;) {
      if (this.child === undefined) throw new Error(`ended at its start with ${await this.end}`)
      if (await within(this.options.ready(), ANSWER_MS).catch(() => false)) return
      if (Date.now() > deadline) throw new Error(`does not answer after ${READY_MS} ms`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  private signalAll(signal: NodeJS.Signals): void {
    const pid = this.child?.pid
    if (pid === undefined) return
    // Some (PostgreSQL's) leave the group for one of their own.
    for (const target of [-pid, ...descendants(pid)]) {
      try {
        process.kill(target, signal)
      } catch {
        // It has ended by itself.
      }
    }
  }

  private failed(what: string): ProcessFailed {
    const lines = existsSync(this.logFile) ? readFileSync(this.logFile, "utf8").trimEnd().split("\n") : []
    const last = lines.slice(-LAST_LINES).join("\n  ")
    return new ProcessFailed({ message: `${this.name} ${what}; its log is ${this.logFile}, and ends with\n  ${last}` })
  }
}

/** Words before a command that let the kernel end it together with us, where there are such. */
const SETPRIV = process.platform === "linux" ? find("setpriv") : undefined
const PARENTAL = SETPRIV === undefined ? [] : [SETPRIV, "--pdeathsig", "KILL"]
const identity = (user: ServerOptions["user"]): ReadonlyArray<string> =>
  SETPRIV === undefined || user === undefined ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"]

/** All that a process started, and they; none where there is no /proc. */
const descendants = (pid: number): ReadonlyArray<number> => {
  const children = new Map<number, Array<number>>()
  for (const name of existsSync("/proc") ? readdirSync("/proc") : []) {
    const parent = /^\d+$/.test(name) ? parentOf(name) : undefined
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const all = (of: number): ReadonlyArray<number> => (children.get(of) ?? []).flatMap((one) => [one, ...all(one)])
  return all(pid)
}

const parentOf = (pid: string): number | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1])
  } catch {
    return undefined
  }
}
