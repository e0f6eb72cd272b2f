/** A real NATS server with JetStream and one stream on a free loopback port, gone with the scope. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { natsRequest } from "./natsRequest.js"
import { freePort } from "./Ports.js"
import { asked, find, ProcessFailed, type Server, serverFolder, startServer } from "./processes.js"

export interface NatsOptions {
  /** subjects (topics) the stream takes; one-word ones unless told. A topic outside is refused by the broker. */
  readonly subjects?: ReadonlyArray<string>
  /** bytes of a message; 8 MiB unless told (the broker's own default is 1 MiB) */
  readonly maxPayload?: number
  /** bytes of the stream, after which it refuses; unlimited unless told */
  readonly maxStreamBytes?: number
}

export interface Nats extends Server {
  readonly port: number
  /** `nats://127.0.0.1:PORT` */
  readonly url: string
  /** the stream's name */
  readonly stream: string
  /** the bytes of each message of a subject, in the order of the stream */
  readonly messages: (subject: string) => Effect.Effect<ReadonlyArray<Buffer>, ProcessFailed>
}

const STREAM = "wsm"
const MIB = 1024 * 1024

export const natsAvailable = (): boolean => find("nats-server") !== undefined

export const startNats = (options: NatsOptions = {}): Effect.Effect<Nats, ProcessFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* serverFolder("nats")
    const port = yield* freePort
    const store = join(folder, "store")
    const config = join(folder, "nats.conf")
    mkdirSync(store)
    writeFileSync(
      config,
      [
        `listen: "127.0.0.1:${port}"`,
        `max_payload: ${options.maxPayload ?? 8 * MIB}`,
        `jetstream { store_dir: ${JSON.stringify(store)}, max_file_store: ${1024 * MIB}, max_memory_store: ${64 * MIB} }`,
        ""
      ].join("\n")
    )
    const ask = (subject: string, request: unknown) => natsRequest(port, `$JS.API.STREAM.${subject}`, request)
    const server = yield* startServer({
      name: "nats",
      command: find("nats-server") ?? "nats-server",
      folder,
      args: ["-c", config],
      ready: async () => "streams" in (await ask("NAMES", {}))
    })
    yield* Effect.tryPromise({
      try: async () => {
        const answer = await ask(`CREATE.${STREAM}`, {
          name: STREAM,
          subjects: options.subjects ?? ["*"],
          retention: "limits",
          storage: "file",
          discard: "new",
          num_replicas: 1,
          max_bytes: options.maxStreamBytes ?? -1
        })
        if (answer["error"] !== undefined) throw new Error(JSON.stringify(answer["error"]))
      },
      catch: (cause) => new ProcessFailed({ message: `nats refused the stream: ${String(cause)}` })
    })
    const messages = async (subject: string): Promise<ReadonlyArray<Buffer>> => {
      const found: Array<Buffer> = []
      for (let seq = 1; ;) {
        const { message } = (await ask(`MSG.GET.${STREAM}`, { seq, next_by_subj: subject })) as {
          message?: { seq: number; data: string }
        }
        if (message === undefined) return found
        found.push(Buffer.from(message.data, "base64"))
        seq = message.seq + 1
      }
    }
    return {
      ...server,
      port,
      url: `nats://127.0.0.1:${port}`,
      stream: STREAM,
      messages: (subject) => asked(() => messages(subject))
    }
  })
