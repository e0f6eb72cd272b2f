/**
 * One instance as a process: the manager with its doors, until it is asked to end.
 *
 * The HTTP port is bound first and closed last, so that a refused dial tells peers that nothing of this process acts any more.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as GrpcServer from "../api/grpc/Server.js"
import * as HttpListener from "../api/http/HttpListener.js"
import * as KeepAliveLoop from "../api/http/KeepAliveLoop.js"
import * as HttpServer from "../api/http/Server.js"
import * as RpcDoor from "../api/rpc/RpcDoor.js"
import * as StreamQuota from "../api/rpc/StreamQuota.js"
import { Settings, type SettingsShape } from "../config/Settings.js"
import { InstanceId } from "../membership/InstanceId.js"
import * as Logging from "../observability/Logging.js"
import * as Otlp from "../observability/Otlp.js"
import { maxFiles } from "../observability/ProcessMetrics.js"
import * as ManagerLayer from "./ManagerLayer.js"

export interface ServeOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly onStarted: (info: {
    readonly httpUrl: string
    readonly grpcAddress: string
    readonly instanceId: string
  }) => Effect.Effect<void>
}

/** Every door over a manager. Needs the bound listener; gives the gRPC listener too. */
export const doors = (advertised: string) =>
  Layer.mergeAll(HttpServer.layer({ advertised }), GrpcServer.layer, KeepAliveLoop.layer).pipe(
    Layer.provideMerge(RpcDoor.layer),
    Layer.provide(StreamQuota.layer)
  )

/** Sockets beside those of the connections: doors, the store, what Node keeps open. */
const OTHER_FILES = 200

/** Runs until it is interrupted; the exit status is 1 when it could not start, in one line that says why. */
export const serve = (settings: SettingsShape, options: ServeOptions): Effect.Effect<number> => {
  const logging = Logging.layer(settings, {
    write: (text) => void process.stderr.write(text),
    colour: process.stderr.isTTY === true && (options.env["NO_COLOR"] ?? "") === ""
  })
  return Effect.scoped(running(settings, options)).pipe(
    Effect.catchAllCause((cause) => {
      if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
      return Effect.as(
        Effect.sync(() => process.stderr.write(`wsm: ${whyNot(cause)}\n`)),
        1
      )
    }),
    Effect.provide(logging)
  )
}

const running = (settings: SettingsShape, { env, onStarted }: ServeOptions) =>
  Effect.gen(function* () {
    const listener = yield* Layer.build(HttpListener.layer.pipe(Layer.provide(Layer.succeed(Settings, settings))))
    const { address, port } = yield* Effect.provide(HttpListener.HttpListener, listener)
    const manager = yield* Layer.build(
      ManagerLayer.layer({ settings, env, boundPort: port, telemetry: Otlp.layer(env) })
    )
    yield* warnOfFewFiles(settings)
    const instance = yield* Effect.provide(InstanceId, manager)
    const served = yield* Layer.build(doors(instance.address)).pipe(Effect.provide(manager), Effect.provide(listener))
    const grpc = yield* Effect.provide(GrpcServer.GrpcListener, served)
    yield* onStarted({ httpUrl: address, grpcAddress: `${grpc.host}:${grpc.port}`, instanceId: instance.id })
    return yield* Effect.never
  })

const warnOfFewFiles = (settings: SettingsShape) =>
  Effect.suspend(() => {
    const limit = maxFiles()
    if (limit === undefined || limit >= settings.maxConnections + OTHER_FILES) return Effect.void
    return Effect.logWarning(
      `the limit of open files is ${limit}: fewer than WSM_MAX_CONNECTIONS=${settings.maxConnections} connections can be open; raise it with 'ulimit -n'`
    )
  })

const whyNot = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error && error.message !== "" ? error.message : Cause.pretty(cause)
}
