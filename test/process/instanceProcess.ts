/** Instances of the manager as real processes, with a typed client each, and directories that are gone afterwards. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import type { Connection, WatchResponse } from "../../src/domain/Messages.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { layer, ManagerClient } from "../../src/rpc/Client.js"
import { start } from "../cli/runWsm.js"

type Client = ManagerClient["Type"]
type Process = Awaited<ReturnType<typeof start>>

/** A line of the log, as JSON. */
export type LogLine = { readonly message: string; readonly level: string } & Readonly<Record<string, string>>

/** An event as it left for a topic, as JSON. */
export type TopicEvent = Readonly<Record<string, string>>

const UP = /^websocketmanager is up: http (\S+) {2}grpc (\S+) {2}\(instance (\S+)\)\n/m
const PATIENCE_MS = 15_000

/** What is stopped and removed after each test, the last one first. */
const cleanups: Array<() => unknown> = []
export const afterwards = (cleanup: () => unknown): void => void cleanups.push(cleanup)
export const cleanUp = async (): Promise<void> => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
}

export const temporaryFolder = (): string => {
  const path = mkdtempSync(join(tmpdir(), "wsm-process-"))
  afterwards(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Looks every few milliseconds until the condition holds. */
export const until = async (
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = PATIENCE_MS
): Promise<void> => {
  const deadline = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await sleep(10)
  }
}

/** Starts `wsm serve`; nothing is waited for. Ended after the test. */
export const launch = async (env: Readonly<Record<string, string>>): Promise<Process> => {
  const process = await start(["serve"], {
    WSM_HTTP_PORT: "0",
    WSM_GRPC_PORT: "0",
    WSM_DIAL_RATE_PER_HOST: "10000 per second",
    WSM_LOG_LEVEL: "debug",
    WSM_LOG_FORMAT: "json",
    ...env
  })
  afterwards(async () => {
    process.child.kill("SIGCONT")
    process.child.kill("SIGKILL")
    await process.ended
  })
  return process
}

/** The log of a process so far; what is no JSON is left out. */
export const logOf = ({ output }: Process): ReadonlyArray<LogLine> =>
  output.err.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as LogLine] : []))

export class Instance {
  readonly runtime: ManagedRuntime.ManagedRuntime<ManagerClient, never>
  private constructor(
    readonly process: Process,
    readonly url: string,
    readonly grpcAddress: string,
    readonly id: string
  ) {
    this.runtime = ManagedRuntime.make(layer({ url }))
    afterwards(() => this.runtime.dispose())
  }

  /** Starts an instance and waits until it takes work. */
  static async start(env: Readonly<Record<string, string>>): Promise<Instance> {
    const instance = await Instance.up(env)
    await instance.ready()
    return instance
  }

  /** Starts an instance and waits until its doors are open. */
  static async up(env: Readonly<Record<string, string>>): Promise<Instance> {
    const process = await launch(env)
    const [, url, grpc, id] = await process.line(UP)
    return new Instance(process, url!, grpc!, id!)
  }

  ready(): Promise<void> {
    const asked = () =>
      fetch(`${this.url}/health/ready`).then(
        (answer) => answer.ok,
        () => false
      )
    return until(asked, `instance ${this.id} is ready`)
  }

  call<A, E>(use: (client: Client) => Effect.Effect<A, E>): Promise<A> {
    return this.runtime.runPromise(Effect.flatMap(ManagerClient, use))
  }
  /** The error that the call must end with. */
  refused<A, E>(use: (client: Client) => Effect.Effect<A, E>): Promise<E> {
    return this.runtime.runPromise(
      Effect.flip(Effect.flatMap(ManagerClient, use)) as Effect.Effect<E, A, ManagerClient>
    )
  }

  async connect(request: ConnectRequest): Promise<Connection> {
    return (await this.call((client) => client.Connect(request))).connection
  }
  async get(id: string): Promise<Connection> {
    return (await this.call((client) => client.Get({ id }))).connection
  }
  async list(): Promise<ReadonlyArray<Connection>> {
    return (await this.call((client) => client.List({ pageSize: 1000 }))).connections
  }

  /** Every event of a topic from now on, as JSON. */
  async topic(topic: string): Promise<Array<TopicEvent>> {
    const got: Array<TopicEvent> = []
    await this.collect(
      (client) => client.open("Subscribe", { topic }),
      ({ event }) => got.push(JSON.parse(Buffer.from(event).toString()) as TopicEvent)
    )
    return got
  }
  /** Every lifecycle event from now on. */
  async watch(): Promise<Array<WatchResponse>> {
    const got: Array<WatchResponse> = []
    await this.collect(
      (client) => client.open("Watch", {}),
      (event) => got.push(event)
    )
    return got
  }

  /** Log lines with this message, of one connection where an id is given. */
  logged(message: string, connection?: string): ReadonlyArray<LogLine> {
    return logOf(this.process).filter(
      (line) => line.message === message && (connection === undefined || line["connection"] === connection)
    )
  }

  signal(name: NodeJS.Signals): void {
    this.process.child.kill(name)
  }
  /** Sends the signal and waits for the end; the milliseconds it took. */
  async end(name: NodeJS.Signals): Promise<{ status: number | null; signal: string | null; millis: number }> {
    const began = Date.now()
    this.signal(name)
    const ended = await this.process.ended
    return { ...ended, millis: Date.now() - began }
  }

  private async collect<A, E>(
    open: (client: Client) => Effect.Effect<Stream.Stream<A, E>, E, import("effect/Scope").Scope>,
    each: (item: A) => void
  ): Promise<void> {
    const opened = new Promise<void>((resolve, reject) => {
      const reading = Effect.gen(function* () {
        const stream = yield* open(yield* ManagerClient)
        resolve()
        yield* Stream.runForEach(stream, (item) => Effect.sync(() => each(item)))
      })
      this.runtime.runFork(Effect.catchAllCause(Effect.scoped(reading), (cause) => Effect.sync(() => reject(cause))))
    })
    await opened
  }
}
