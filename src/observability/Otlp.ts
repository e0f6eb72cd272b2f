/**
 * Export of traces and metrics to an OpenTelemetry collector over OTLP/HTTP, turned on by the standard variables.
 *
 * `@effect/opentelemetry` is an optional peer and is loaded only then. A collector that is away costs nothing but its data:
 * it is said once in the log, and again when it is back.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Metrics } from "./Metrics.js"
import { exportRequest } from "./OtlpMetrics.js"
import { type OtlpOptions, otlpOptions, OtlpRefused, type Signal } from "./OtlpOptions.js"
import { processFamilies } from "./ProcessMetrics.js"

const SCOPE = "websocketmanager"

const importOtlp = () =>
  Promise.all([
    import("@effect/opentelemetry/OtlpTracer"),
    import("@effect/opentelemetry/OtlpResource"),
    import("@effect/opentelemetry/OtlpSerialization")
  ])

/**
 * Exports as long as the layer lives, and once more at its end (at most three seconds). Started after the settings,
 * before whatever makes spans. `load` brings the optional peer.
 */
export const layer = (
  env: Readonly<Record<string, string | undefined>>,
  load: () => Promise<unknown> = importOtlp
): Layer.Layer<never, OtlpRefused, Metrics> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const options = yield* otlpOptions(env)
      if (options === undefined) return Layer.empty
      const [OtlpTracer, OtlpResource, { layerJson, layerProtobuf, OtlpSerialization }] = yield* Effect.tryPromise({
        try: load as typeof importOtlp,
        catch: () =>
          new OtlpRefused({
            setting: "OTEL_EXPORTER_OTLP_ENDPOINT",
            reason: "exporting needs the package @effect/opentelemetry, which is not installed: npm install @effect/opentelemetry" // prettier-ignore
          })
      })
      const { metrics, traces } = options
      const tracing =
        traces === undefined
          ? Layer.empty
          : OtlpTracer.layer({ url: traces.url, headers: traces.headers, resource: options.resource })
      const metering =
        metrics === undefined
          ? Layer.empty
          : Layer.scopedDiscard(
              Effect.flatMap(OtlpSerialization, (serialization) =>
                exportMetrics(options, metrics, OtlpResource.make(options.resource), serialization.metrics)
              )
            )
      return Layer.merge(tracing, metering).pipe(
        Layer.provide(options.protobuf ? layerProtobuf : layerJson),
        Layer.provide(FetchHttpClient.layer),
        // The package would read the variables of the process by itself; what counts is the environment that was handed in.
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map())))
      )
    })
  )

const exportMetrics = (
  options: OtlpOptions,
  { headers, url }: Signal,
  resource: unknown,
  encode: (data: unknown) => Parameters<typeof HttpClientRequest.setBody>[1]
) =>
  Effect.gen(function* () {
    const metrics = yield* Metrics
    const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
    const start = String(yield* Clock.currentTimeNanos)
    let away = false
    const once = Effect.gen(function* () {
      const now = String(yield* Clock.currentTimeNanos)
      const families = [...metrics.collect(), ...processFamilies()]
      const body = encode(exportRequest(families, resource, SCOPE, { start, now }))
      const answer = yield* client.execute(
        HttpClientRequest.post(url, { headers }).pipe(HttpClientRequest.setBody(body))
      )
      yield* answer.text
      if (away) yield* Effect.logInfo("the collector takes metrics again")
      away = false
    }).pipe(
      Effect.timeout("10 seconds"),
      Effect.scoped,
      Effect.withTracerEnabled(false),
      Effect.catchAllCause((cause) => {
        const first = !away
        away = true
        return first ? Effect.logWarning("the collector does not take metrics; trying on", cause) : Effect.void
      })
    )
    yield* Effect.addFinalizer(() => once.pipe(Effect.interruptible, Effect.timeoutOption("3 seconds"), Effect.asVoid))
    yield* Effect.sleep(options.metricIntervalMillis).pipe(Effect.zipRight(once), Effect.forever, Effect.forkScoped)
  })
