/** The standard OpenTelemetry variables, as far as they concern an instance. */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import { parseUrl } from "../domain/Peer.js"
import { withoutUserinfo } from "../domain/secrets/Userinfo.js"

type Env = Readonly<Record<string, string | undefined>>

/** Represents an OpenTelemetry variable that cannot be followed. `message` is one line. */
export class OtlpRefused extends Data.TaggedError("OtlpRefused")<{
  readonly setting: string
  /** as the end of "must …" or a sentence of its own */
  readonly reason: string
}> {
  override get message() {
    return `${this.setting}: ${this.reason}`
  }
}

export interface Signal {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

export interface OtlpOptions {
  readonly traces: Signal | undefined
  readonly metrics: Signal | undefined
  readonly protobuf: boolean
  readonly resource: {
    readonly serviceName: string
    readonly attributes: Readonly<Record<string, string>>
  }
  readonly metricIntervalMillis: number
}

/** What to export and where; undefined where the environment asks for nothing. */
export const otlpOptions = (env: Env): Either.Either<OtlpOptions | undefined, OtlpRefused> =>
  Either.gen(function* () {
    if (env["OTEL_SDK_DISABLED"]?.toLowerCase() === "true") return undefined
    const traces = yield* signal(env, "TRACES")
    const metrics = yield* signal(env, "METRICS")
    if (traces === undefined && metrics === undefined) return undefined
    const protocol = env["OTEL_EXPORTER_OTLP_PROTOCOL"] || "http/protobuf"
    if (protocol !== "http/protobuf" && protocol !== "http/json") {
      return yield* refuse(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        `${protocol} is not spoken here, http/protobuf or http/json is`
      )
    }
    const interval = env["OTEL_METRIC_EXPORT_INTERVAL"] || "60000"
    if (!/^[1-9]\d{0,8}$/.test(interval)) {
      return yield* refuse("OTEL_METRIC_EXPORT_INTERVAL", `${interval} is no number of milliseconds`)
    }
    const { "service.name": named, ...attributes } = pairs(env["OTEL_RESOURCE_ATTRIBUTES"])
    return {
      traces,
      metrics,
      protobuf: protocol === "http/protobuf",
      resource: { serviceName: env["OTEL_SERVICE_NAME"] || named || "websocketmanager", attributes },
      metricIntervalMillis: Number(interval)
    }
  })

/** One signal: its own endpoint as it stands, or the common one with the path of the signal. */
const signal = (env: Env, name: "TRACES" | "METRICS"): Either.Either<Signal | undefined, OtlpRefused> => {
  if (env[`OTEL_${name}_EXPORTER`] === "none") return Either.right(undefined)
  const own = env[`OTEL_EXPORTER_OTLP_${name}_ENDPOINT`]
  const setting = own ? `OTEL_EXPORTER_OTLP_${name}_ENDPOINT` : "OTEL_EXPORTER_OTLP_ENDPOINT"
  const endpoint = env[setting]
  if (!endpoint) return Either.right(undefined)
  if (!/^https?:\/\/[^/]/i.test(endpoint) || parseUrl(endpoint) === undefined) {
    return refuse(setting, "is no http or https URL")
  }
  const { authorization, url } = withoutUserinfo(
    own ? endpoint : `${endpoint.replace(/\/+$/, "")}/v1/${name.toLowerCase()}`
  )
  const headers = pairs(env[`OTEL_EXPORTER_OTLP_${name}_HEADERS`] || env["OTEL_EXPORTER_OTLP_HEADERS"])
  const named = authorization === undefined || Object.keys(headers).some((key) => key.toLowerCase() === "authorization")
  return Either.right({ url, headers: named ? headers : { ...headers, authorization } })
}

const refuse = (setting: string, reason: string): Either.Either<never, OtlpRefused> =>
  Either.left(new OtlpRefused({ setting, reason }))

/** `key=value,key=value`, percent-encoded as in a baggage header. */
const pairs = (text: string | undefined): Readonly<Record<string, string>> =>
  Object.fromEntries(
    (text ?? "").split(",").flatMap((pair) => {
      const at = pair.indexOf("=")
      return at <= 0 ? [] : [[pair.slice(0, at).trim(), decoded(pair.slice(at + 1).trim())] as const]
    })
  )

const decoded = (value: string): string => {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
