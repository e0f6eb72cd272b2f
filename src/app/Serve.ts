/** One instance as a process: the manager with its doors, its log and its telemetry, until it is asked to end. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import { GrpcListener } from "../api/grpc/GrpcServer.js"
import { HttpListener } from "../api/http/HttpListener.js"
import type { SettingsShape } from "../config/SettingsShape.js"
import { InstanceId } from "../membership/InstanceId.js"
import * as Logging from "../observability/Logging.js"
import * as Otlp from "../observability/Otlp.js"
import { maxFiles } from "../observability/ProcessMetrics.js"
import * as ServerLayer from "./ServerLayer.js"
import * as StartFailure from "./StartFailure.js"

export interface ServeOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly onStarted: (info: {
    readonly httpUrl: string
    readonly grpcAddress: string
    readonly instanceId: string
  }) => Effect.Effect<void>
}

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
        Effect.sync(() => process.stderr.write(`wsm: ${StartFailure.describe(settings, cause)}\n`)),
        1
      )
    }),
    // no fiber ends unseen: without this its last word is at DEBUG
    Effect.withUnhandledErrorLogLevel(Option.some(LogLevel.Error)),
    Effect.provide(logging)
  )
}

const running = (settings: SettingsShape, { env, onStarted }: ServeOptions) =>
  Effect.gen(function* () {
    const bad = StartFailure.checkFiles(settings, env)
    if (bad !== undefined) return yield* bad
    const instance = yield* Layer.build(ServerLayer.layer({ settings, env, telemetry: Otlp.layer(env) }))
    const { http, grpc, id } = yield* Effect.provide(
      Effect.all({ http: HttpListener, grpc: GrpcListener, id: InstanceId }),
      instance
    )
    yield* warnOfFewFiles(settings)
    if (settings.topics.length === 0) yield* Effect.logWarning("WSM_TOPICS is not set: callers can publish to no topic")
    yield* onStarted({ httpUrl: http.address, grpcAddress: `${grpc.host}:${grpc.port}`, instanceId: id.id })
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
