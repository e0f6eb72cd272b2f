/** A gRPC door over a manager made for the test, and a stock client that knows the .proto file alone. */
import { join } from "node:path"
import * as grpc from "@grpc/grpc-js"
import { fromJSON, loadSync, type MessageTypeDefinition } from "@grpc/proto-loader"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as GrpcServer from "../../src/api/grpc/GrpcServer.js"
import * as Refusals from "../../src/api/rpc/Refusals.js"
import { Settings } from "../../src/config/Settings.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { ConnectionManager } from "../../src/manager/ConnectionManager.js"
import { Health } from "../../src/manager/Health.js"
import * as StreamQuota from "../../src/manager/StreamQuota.js"
import { Metrics } from "../../src/observability/Metrics.js"

export type Manager = ConnectionManager["Type"]

const PROTO = join(import.meta.dirname, "../../proto/websocketmanager/v1/websocketmanager.proto")
const WIRE = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true, arrays: true, objects: true }

/** What a client of any language makes of the .proto file. */
export const Wire = grpc.loadPackageDefinition(loadSync(PROTO, WIRE)) as unknown as {
  websocketmanager: { v1: { WebSocketManagerService: grpc.ServiceClientConstructor } }
}
export const SERVICE = "websocketmanager.v1.WebSocketManagerService"

/** Readiness that a test turns on and off. */
export const switchableHealth = (initially: boolean) => {
  let ready = initially
  const listeners = new Set<(ready: boolean) => void>()
  const layer = Layer.succeed(Health, {
    ready: () => ready,
    phase: () => (ready ? "ready" : "booting"),
    report: Effect.succeed([]),
    onChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    }
  })
  return {
    layer,
    set: (now: boolean) => {
      ready = now
      for (const listener of listeners) listener(now)
    }
  }
}

export interface DoorOptions {
  readonly settings?: Partial<SettingsShape>
  readonly health?: Layer.Layer<Health>
}

/** A door over a manager that has these operations and no other. */
export const doorLayer = (operations: Partial<Manager>, options: DoorOptions = {}) => {
  const settings = {
    host: "127.0.0.1",
    grpcPort: 0,
    tlsCert: "",
    tlsKey: "",
    tlsMinVersion: "1.2",
    apiToken: undefined,
    ...options.settings
  }
  return GrpcServer.layer.pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.mock(ConnectionManager, operations),
        Layer.succeed(Settings, settings as SettingsShape),
        options.health ?? switchableHealth(true).layer,
        Metrics.layer,
        Refusals.layer,
        StreamQuota.layer
      )
    )
  )
}

export const makeClient = (
  address: string,
  credentials: grpc.ChannelCredentials = grpc.credentials.createInsecure()
): Effect.Effect<grpc.Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(
      () =>
        new Wire.websocketmanager.v1.WebSocketManagerService(address, credentials, {
          "grpc.max_receive_message_length": 17 * 1024 * 1024
        })
    ),
    (client) => Effect.sync(() => client.close())
  )

/** An open door, and a client of it. Both end with the test. What the door logs is kept in `logs`. */
export const open = (operations: Partial<Manager>, options: DoorOptions = {}) =>
  Effect.gen(function* () {
    const logs: Array<string> = []
    const recorder = Logger.make(({ cause, message }) => void logs.push(`${String(message)} ${Cause.pretty(cause)}`))
    const context = yield* Layer.build(
      Layer.provideMerge(doorLayer(operations, options), Logger.replace(Logger.defaultLogger, recorder))
    )
    const { port } = Context.get(context, GrpcServer.GrpcListener)
    const client = yield* makeClient(`127.0.0.1:${port}`)
    return { port, metrics: Context.get(context, Metrics), client, logs }
  })

interface CallOptions {
  readonly metadata?: grpc.Metadata
  readonly deadlineMs?: number
}

type UnaryMethodOf = (
  request: unknown,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  callback: (error: grpc.ServiceError | null, answer: Answer) => void
) => grpc.ClientUnaryCall
type StreamMethodOf = (
  request: unknown,
  metadata: grpc.Metadata,
  options: grpc.CallOptions
) => grpc.ClientReadableStream<Answer>

// oxlint-disable-next-line typescript/no-explicit-any
export type Answer = any

const callOptions = ({ deadlineMs }: CallOptions): grpc.CallOptions =>
  deadlineMs === undefined ? {} : { deadline: new Date(Date.now() + deadlineMs) }

/** Interrupting it cancels the call. */
export const unary = (
  client: grpc.Client,
  method: string,
  request: unknown,
  options: CallOptions = {}
): Effect.Effect<Answer, grpc.ServiceError> =>
  Effect.async((resume) => {
    const run = (client as unknown as Record<string, UnaryMethodOf>)[method]!
    const call = run.call(
      client,
      request,
      options.metadata ?? new grpc.Metadata(),
      callOptions(options),
      (error, answer) => resume(error === null ? Effect.succeed(answer) : Effect.fail(error))
    )
    return Effect.sync(() => call.cancel())
  })

export const stream = (client: grpc.Client, method: string, request: unknown, options: CallOptions = {}) => {
  const run = (client as unknown as Record<string, StreamMethodOf>)[method]!
  const call = run.call(client, request, options.metadata ?? new grpc.Metadata(), callOptions(options))
  call.on("error", () => {}) // told by `status` as well
  return call
}

/** The next event of that name. */
export const next = <A>(emitter: NodeJS.EventEmitter, event: string): Effect.Effect<A> =>
  Effect.async((resume) => {
    const listener = (value: A) => resume(Effect.succeed(value))
    emitter.once(event, listener)
    return Effect.sync(() => emitter.off(event, listener))
  })

/** Bytes as they are, whatever the method expects. */
export const unaryBytes = (client: grpc.Client, method: string, bytes: Uint8Array) =>
  Effect.async<Buffer, grpc.ServiceError>((resume) => {
    const asIs = (value: Buffer) => value
    client.makeUnaryRequest(`/${SERVICE}/${method}`, asIs, asIs, Buffer.from(bytes), (error, answer) =>
      resume(error === null ? Effect.succeed(answer!) : Effect.fail(error))
    )
  })

const GOOGLE_RPC = {
  nested: {
    google: {
      nested: {
        protobuf: {
          nested: { Any: { fields: { type_url: { type: "string", id: 1 }, value: { type: "bytes", id: 2 } } } }
        },
        rpc: {
          nested: {
            Status: {
              fields: {
                code: { type: "int32", id: 1 },
                message: { type: "string", id: 2 },
                details: { rule: "repeated", type: "google.protobuf.Any", id: 3 }
              }
            },
            ErrorInfo: {
              fields: {
                reason: { type: "string", id: 1 },
                domain: { type: "string", id: 2 },
                metadata: { keyType: "string", type: "string", id: 3 }
              }
            }
          }
        }
      }
    }
  }
}
const rpcTypes = fromJSON(GOOGLE_RPC, { defaults: true })
const decode = (type: string, bytes: Buffer): Answer =>
  (rpcTypes[type] as MessageTypeDefinition<object, object>).deserialize(bytes)

/** The google.rpc.Status of a failed call, with its one ErrorInfo. */
export const detailsOf = (error: Pick<grpc.ServiceError, "metadata">) => {
  const bytes = error.metadata.get("grpc-status-details-bin")[0] as Buffer
  const status = decode("google.rpc.Status", bytes)
  const [any] = status.details
  return {
    code: status.code as number,
    message: status.message as string,
    type: any.type_url as string,
    info: { ...decode("google.rpc.ErrorInfo", any.value) } as { reason: string; domain: string; metadata: object }
  }
}
