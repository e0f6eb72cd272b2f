/**
 * A whole manager with all of its doors on free ports, and one client per door behind one face: the same call, the same
 * answer, the same error, whatever is on the wire.
 *
 * Enums are their names, times are dates, bytes are bytes. An error's fields are text everywhere, since gRPC carries nothing else.
 */
import { join } from "node:path"
import * as grpc from "@grpc/grpc-js"
import { fromJSON, loadSync, type MessageTypeDefinition } from "@grpc/proto-loader"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { GrpcListener } from "../../src/api/grpc/GrpcServer.js"
import { HttpListener } from "../../src/api/http/HttpListener.js"
import * as ManagerLayer from "../../src/app/ManagerLayer.js"
import * as ServerLayer from "../../src/app/ServerLayer.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import type { StreamMethod, StreamTypes, UnaryMethod, UnaryTypes } from "../../src/domain/Methods.js"
import * as Client from "../../src/rpc/Client.js"

export const DOORS = ["rpc-ws", "rpc-http", "grpc"] as const
export type DoorName = (typeof DOORS)[number]

/** How a call ended that did not succeed: the error's tag and its fields; `Cancelled` and `DeadlineExceeded` are the caller's own. */
export class Refused extends Error {
  constructor(
    readonly tag: string,
    readonly fields: Readonly<Record<string, string>>,
    message: string
  ) {
    super(`${tag} ${JSON.stringify(fields)} ${message}`)
  }
}

export interface CallOptions {
  /** aborting it cancels the call */
  readonly signal?: AbortSignal
  /** the caller's own deadline */
  readonly deadlineMs?: number
  /** the caller's span, in lower-case hex: 32 digits of the trace, 16 of the span */
  readonly span?: { readonly traceId: string; readonly spanId: string }
}

/** A stream that has begun. Nothing is read ahead but what the transport buffers. */
export interface Reader<Item> {
  /** The next item; undefined: the server ended the stream. Rejects with `Refused`. */
  readonly next: () => Promise<Item | undefined>
  readonly take: (count: number) => Promise<Array<Item>>
  readonly cancel: () => Promise<void>
}

export interface Door {
  readonly name: DoorName
  readonly call: <K extends UnaryMethod>(
    method: K,
    request: UnaryTypes[K][0],
    options?: CallOptions
  ) => Promise<UnaryTypes[K][1]>
  /** Resolved when the stream has begun. */
  readonly stream: <K extends StreamMethod>(method: K, request: StreamTypes[K][0]) => Promise<Reader<StreamTypes[K][1]>>
  readonly close: () => Promise<void>
}

/** The error that the call must end with. */
export const refused = async (call: Promise<unknown>): Promise<Refused> => {
  let answer: unknown
  try {
    answer = await call
  } catch (error) {
    if (error instanceof Refused) return error
    throw error
  }
  throw new Error(`the call was not refused: ${JSON.stringify(answer)}`)
}

// ------------------------------------------------------------ the manager

export interface Addresses {
  readonly httpUrl: string
  readonly grpcAddress: string
}

export interface TestServer extends Addresses {
  readonly doors: Readonly<Record<DoorName, Door>>
  readonly run: <A, E>(effect: Effect.Effect<A, E, ServerLayer.Provided>) => Promise<A>
  /** As SIGTERM does it. */
  readonly stop: () => Promise<void>
}

const QUIET: Partial<SettingsShape> = {
  dataDir: "",
  logLevel: "none",
  egress: "any",
  dialRatePerHost: 10_000,
  host: "127.0.0.1",
  httpPort: 0,
  grpcPort: 0
}

/** A manager on memory in this process, joined and ready. */
export const startServer = async (
  settings: Partial<SettingsShape> = {},
  around: Layer.Layer<never> = Layer.empty
): Promise<TestServer> => {
  const runtime = ManagedRuntime.make(
    Layer.provideMerge(
      ServerLayer.layer({ settings: { ...QUIET, ...settings } }),
      Layer.merge(Logger.minimumLogLevel(LogLevel.None), around)
    )
  ) as ManagedRuntime.ManagedRuntime<ServerLayer.Provided, unknown>
  const context = await runtime.runPromise(Effect.context<ServerLayer.Provided>())
  const { port } = Context.get(context, GrpcListener)
  const addresses = { httpUrl: Context.get(context, HttpListener).address, grpcAddress: `127.0.0.1:${port}` }
  await until(() => runtime.runSync(ManagerLayer.ready), "the manager is ready")
  const doors = openDoors(addresses)
  return {
    ...addresses,
    doors,
    run: (effect) => runtime.runPromise(effect),
    stop: async () => {
      await Promise.all(DOORS.map((name) => doors[name].close()))
      await runtime.dispose()
    }
  }
}

/** Waits until it holds. */
export const until = async (
  holds: () => boolean | Promise<boolean>,
  what = "the condition",
  timeoutMs = 8000
): Promise<void> => {
  const deadline = Date.now() + timeoutMs
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`${what} did not come true in ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

// ------------------------------------------------------------ its clients

/** A client for each door of a manager, wherever it runs; with a token, if it asks for one. */
export const openDoors = (addresses: Addresses, text?: string): Readonly<Record<DoorName, Door>> => {
  const options = { url: addresses.httpUrl, token: text === undefined ? undefined : Redacted.make(text) }
  return {
    "rpc-ws": rpcDoor("rpc-ws", Client.layer(options)),
    "rpc-http": rpcDoor("rpc-http", Client.layerHttp(options)),
    grpc: grpcDoor(addresses.grpcAddress, text)
  }
}

const takeWith =
  <Item>(next: () => Promise<Item | undefined>) =>
  async (count: number): Promise<Array<Item>> => {
    const items: Array<Item> = []
    while (items.length < count) {
      const item = await next()
      if (item === undefined) throw new Error(`the stream ended after ${items.length} of ${count} items`)
      items.push(item)
    }
    return items
  }

const textFields = (error: object): Record<string, string> => {
  const fields: Record<string, string> = {}
  for (const [key, value] of Object.entries(error)) {
    if (key !== "_tag" && ["string", "number", "boolean"].includes(typeof value)) fields[key] = String(value)
  }
  return fields
}

const CANCELLED = new Refused("Cancelled", {}, "the call was cancelled")
const TOO_LATE = new Refused("DeadlineExceeded", {}, "the caller's deadline")

const rpcDoor = (name: DoorName, layer: Layer.Layer<Client.ManagerClient>): Door => {
  const runtime = ManagedRuntime.make(layer)

  const settle = async <A>(
    effect: Effect.Effect<A, Client.CallError | Refused, Client.ManagerClient>,
    signal?: AbortSignal
  ): Promise<A> => {
    const exit = await runtime.runPromiseExit(effect, signal === undefined ? undefined : { signal })
    if (Exit.isSuccess(exit)) return exit.value
    const failure = Cause.failureOption(exit.cause)
    if (Option.isSome(failure)) {
      const error = failure.value
      throw error instanceof Refused ? error : new Refused(error._tag, textFields(error), error.message)
    }
    throw Cause.isInterruptedOnly(exit.cause) ? CANCELLED : new Refused("Defect", {}, Cause.pretty(exit.cause))
  }

  return {
    name,
    call: (method, request, { deadlineMs, signal, span } = {}) => {
      const asked = Effect.flatMap(Client.ManagerClient, (client) =>
        (client[method] as (request: unknown) => Effect.Effect<never, Client.CallError | Refused>)(request)
      )
      const call = span === undefined ? asked : Effect.withParentSpan(asked, Tracer.externalSpan(span))
      if (deadlineMs === undefined) return settle(call, signal)
      return settle(Effect.timeoutFail(call, { duration: deadlineMs, onTimeout: () => TOO_LATE }), signal)
    },
    stream: async (method, request) => {
      const scope = Effect.runSync(Scope.make())
      const cancel = () => runtime.runPromise(Scope.close(scope, Exit.void))
      const pull = await settle(
        Effect.flatMap(Client.ManagerClient, (client) =>
          Effect.flatMap(client.open(method, request), Stream.toPull)
        ).pipe(Scope.extend(scope))
      ).catch(async (error: unknown) => {
        await cancel()
        throw error
      })
      type Item = StreamTypes[typeof method][1]
      let waiting: Array<Item> = []
      const next = async (): Promise<Item | undefined> => {
        while (waiting.length === 0) {
          const got = await settle(
            Effect.catchAll(pull, (end) => (Option.isNone(end) ? Effect.succeedNone : Effect.fail(end.value))).pipe(
              Effect.map((chunk) => (Option.isOption(chunk) ? undefined : Chunk.toReadonlyArray(chunk)))
            )
          )
          if (got === undefined) return undefined
          waiting = [...got]
        }
        return waiting.shift()
      }
      return { next, take: takeWith(next), cancel }
    },
    close: () => runtime.dispose()
  }
}

// ------------------------------------------------------------ a stock gRPC client that knows the .proto file alone

const PROTO = join(import.meta.dirname, "../../proto/websocketmanager/v1/websocketmanager.proto")
const Wire = grpc.loadPackageDefinition(
  loadSync(PROTO, { longs: Number, enums: String, defaults: true })
) as unknown as {
  websocketmanager: { v1: { WebSocketManagerService: grpc.ServiceClientConstructor } }
}

/** What is common to the messages of a proto-loader client, as the RPC group has them. */
const fromWire = (value: unknown): unknown => {
  if (value instanceof Uint8Array || typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(fromWire)
  const { nanos, seconds, ...rest } = value as Record<string, unknown>
  if (typeof seconds === "number" && typeof nanos === "number" && Object.keys(rest).length === 0) {
    return new Date(seconds * 1000 + nanos / 1e6)
  }
  const entries = Object.entries(value).filter(([, v]) => v !== null && v !== undefined)
  return Object.fromEntries(entries.map(([k, v]) => [k, fromWire(v)]))
}

const reflect = (fields: Record<string, [type: string, id: number, key?: "map" | "repeated"]>) => ({
  fields: Object.fromEntries(
    Object.entries(fields).map(([name, [type, id, kind]]) => [
      name,
      kind === "map" ? { keyType: "string", type, id } : { type, id, ...(kind === undefined ? {} : { rule: kind }) }
    ])
  )
})
const rpcTypes = fromJSON(
  {
    nested: {
      Any: reflect({ type_url: ["string", 1], value: ["bytes", 2] }),
      Status: reflect({ code: ["int32", 1], message: ["string", 2], details: ["Any", 3, "repeated"] }),
      ErrorInfo: reflect({ reason: ["string", 1], domain: ["string", 2], metadata: ["string", 3, "map"] })
    }
  },
  { defaults: true }
)
const decode = <A>(type: string, bytes: Buffer): A =>
  (rpcTypes[type] as MessageTypeDefinition<object, object>).deserialize(bytes) as A

const tagOf = (reason: string): string =>
  reason
    .toLowerCase()
    .split("_")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("")

/** The error in `grpc-status-details-bin`; without one, what gRPC itself says. */
const refusalOf = (error: unknown): Refused => {
  const { code, details, metadata } = error as grpc.ServiceError
  const bytes = metadata?.get("grpc-status-details-bin")[0]
  if (bytes === undefined) {
    if (code === grpc.status.CANCELLED) return CANCELLED
    if (code === grpc.status.DEADLINE_EXCEEDED) return TOO_LATE
    return new Refused(`grpc:${grpc.status[code]}`, {}, details)
  }
  const status = decode<{ details: ReadonlyArray<{ value: Buffer }> }>("Status", bytes as Buffer)
  const info = decode<{ reason: string; metadata: Record<string, string> }>("ErrorInfo", status.details[0]!.value)
  return new Refused(tagOf(info.reason), { ...info.metadata }, details)
}

type UnaryCall = (
  request: unknown,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  callback: (error: grpc.ServiceError | null, answer: unknown) => void
) => grpc.ClientUnaryCall
type StreamCall = (request: unknown) => grpc.ClientReadableStream<unknown>

/** A unary gRPC call with these bytes as its message. */
export const grpcBytes = async (address: string, method: string, bytes: Uint8Array): Promise<Buffer> => {
  const client = new grpc.Client(address, grpc.credentials.createInsecure())
  const asIs = (value: Buffer) => value
  try {
    return await new Promise((resolve, reject) =>
      client.makeUnaryRequest(
        `/websocketmanager.v1.WebSocketManagerService/${method}`,
        asIs,
        asIs,
        Buffer.from(bytes),
        (error, answer) => (error === null ? resolve(answer!) : reject(refusalOf(error)))
      )
    )
  } finally {
    client.close()
  }
}

const MAX_MESSAGE_BYTES = 17 * 1024 * 1024

const bearer =
  (token: string): grpc.Interceptor =>
  (options, nextCall) =>
    new grpc.InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => {
        metadata.set("authorization", `Bearer ${token}`)
        next(metadata, listener)
      }
    })

const grpcDoor = (address: string, token?: string): Door => {
  const client = new Wire.websocketmanager.v1.WebSocketManagerService(address, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    interceptors: token === undefined ? [] : [bearer(token)],
    // a channel of its own: others to the same address would share its flow-control window
    "grpc.use_local_subchannel_pool": 1
  }) as unknown as Record<string, UnaryCall & StreamCall> & grpc.Client

  return {
    name: "grpc",
    call: (method, request, { deadlineMs, signal, span } = {}) =>
      new Promise((resolve, reject) => {
        const metadata = new grpc.Metadata()
        if (span !== undefined) metadata.set("traceparent", `00-${span.traceId}-${span.spanId}-01`)
        const options = deadlineMs === undefined ? {} : { deadline: new Date(Date.now() + deadlineMs) }
        const call = (client[method] as UnaryCall).call(client, request, metadata, options, (error, answer) =>
          error === null ? resolve(fromWire(answer) as never) : reject(refusalOf(error))
        )
        signal?.addEventListener("abort", () => call.cancel())
      }),
    stream: async (method, request) => {
      const call = (client[method] as StreamCall).call(client, request)
      await new Promise<void>((resolve, reject) => {
        call.once("metadata", () => resolve())
        call.once("error", (error: unknown) => reject(refusalOf(error)))
      })
      const items = call[Symbol.asyncIterator]()
      type Item = StreamTypes[typeof method][1]
      const next = async (): Promise<Item | undefined> => {
        try {
          const { done, value } = await items.next()
          return done === true ? undefined : (fromWire(value) as Item)
        } catch (error) {
          throw refusalOf(error)
        }
      }
      return {
        next,
        take: takeWith(next),
        cancel: async () => {
          call.on("error", () => {})
          call.cancel()
        }
      }
    },
    close: async () => client.close()
  }
}
