import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import { Metrics } from "../../src/observability/Metrics.js"
import * as Logging from "../../src/observability/Logging.js"
import * as Otlp from "../../src/observability/Otlp.js"
import { otlpOptions } from "../../src/observability/OtlpOptions.js"

interface Export {
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** A collector on loopback that answers `status` and keeps what it got. */
const collector = (status = 200) =>
  Effect.gen(function* () {
    const exports = yield* Queue.unbounded<Export>()
    const server = createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        exports.unsafeOffer({ url: request.url!, headers: request.headers, body: Buffer.concat(chunks) })
        response.writeHead(status).end("{}")
      })
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, exports }
  })

describe("the export to a collector", () => {
  it.scopedLive("sends our metrics and the spans, with the headers and the name that are asked for", () =>
    Effect.gen(function* () {
      const { endpoint, exports } = yield* collector()
      const env = {
        OTEL_EXPORTER_OTLP_ENDPOINT: `${endpoint}/`,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=a%20b,authorization=Bearer x",
        OTEL_SERVICE_NAME: "feeds",
        OTEL_RESOURCE_ATTRIBUTES: "deployment=test",
        OTEL_METRIC_EXPORT_INTERVAL: "50"
      }
      yield* Effect.gen(function* () {
        const metrics = yield* Metrics
        metrics.framesReceived.add(7)
        metrics.sendSeconds.observe(0.3)
        metrics.sendSeconds.observe(99)
        metrics.connections(() => [[["connected"], 4]])
        yield* Effect.withSpan(Effect.void, "a-call")
        yield* Queue.take(exports)
      }).pipe(Effect.provide(Layer.provideMerge(Otlp.layer(env), Metrics.layer)), Effect.scoped)
      const all = [...(yield* Queue.takeAll(exports))]
      const last = (url: string) => all.filter((one) => one.url === url).at(-1)!

      const metrics = last("/v1/metrics")
      expect(metrics.headers).toMatchObject({ "content-type": "application/json", "x-tenant": "a b", authorization: "Bearer x" }) // prettier-ignore
      const { resource, scopeMetrics } = JSON.parse(metrics.body.toString()).resourceMetrics[0]
      expect(resource.attributes).toContainEqual({ key: "service.name", value: { stringValue: "feeds" } })
      expect(resource.attributes).toContainEqual({ key: "deployment", value: { stringValue: "test" } })
      const named = (name: string) => scopeMetrics[0].metrics.find((metric: any) => metric.name === name)
      expect(named("websocketmanager_frames_received_total").sum).toMatchObject({ isMonotonic: true, aggregationTemporality: 2, dataPoints: [{ asDouble: 7 }] }) // prettier-ignore
      expect(named("websocketmanager_connections").gauge.dataPoints).toMatchObject([{ asDouble: 4, attributes: [{ key: "status", value: { stringValue: "connected" } }] }]) // prettier-ignore
      const { dataPoints } = named("websocketmanager_send_seconds").histogram
      expect(named("websocketmanager_send_seconds").unit).toBe("s")
      expect(dataPoints[0]).toMatchObject({ count: 2, sum: 99.3 })
      expect(dataPoints[0].bucketCounts).toHaveLength(dataPoints[0].explicitBounds.length + 1)
      expect(dataPoints[0].bucketCounts.at(-1)).toBe(1)
      expect(named("process_resident_memory_bytes").unit).toBe("By")

      expect(last("/v1/traces").body.toString()).toContain('"a-call"')
    })
  )

  it.scopedLive("speaks protobuf by default, and sends once more when it ends", () =>
    Effect.gen(function* () {
      const { endpoint, exports } = yield* collector()
      const env = { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${endpoint}/in/here` }
      yield* Effect.gen(function* () {
        ;(yield* Metrics).framesSent.add(1)
      }).pipe(Effect.provide(Layer.provideMerge(Otlp.layer(env), Metrics.layer)), Effect.scoped)
      const [only, ...rest] = yield* Queue.takeAll(exports)
      expect([only?.url, only?.headers["content-type"], rest]).toEqual(["/in/here", "application/x-protobuf", []])
      expect(only!.body.includes("websocketmanager_frames_sent_total")).toBe(true)
    })
  )

  it.scopedLive("asks a collector with the password of its URL, which is in no text of the log", () =>
    Effect.gen(function* () {
      const { endpoint, exports } = yield* collector()
      const gone = yield* Effect.map(Effect.scoped(collector()), (closed) => closed.endpoint)
      for (const at of [endpoint, gone]) {
        const said: Array<string> = []
        const env = {
          OTEL_EXPORTER_OTLP_ENDPOINT: at.replace("//", "//me:hunter%2F2@"),
          OTEL_METRIC_EXPORT_INTERVAL: "10"
        }
        const log = Logging.layer({ logFormat: "pretty", logLevel: "trace" }, { write: (text) => said.push(text), colour: false }) // prettier-ignore
        yield* Layer.build(Layer.provideMerge(Otlp.layer(env), Metrics.layer)).pipe(
          Effect.zipRight(Effect.withSpan(Effect.void, "a-call")),
          Effect.zipRight(at === gone ? Effect.sleep("50 millis") : Queue.takeBetween(exports, 2, 2)),
          Effect.scoped,
          Effect.provide(log)
        )
        expect(said.join("").includes("does not take metrics")).toBe(at === gone)
        expect(said.join("")).not.toContain("hunter")
      }
      const basic = `Basic ${Buffer.from("me:hunter/2").toString("base64")}`
      const all = [...(yield* Queue.takeAll(exports))]
      expect(all.length).toBeGreaterThan(0)
      for (const { headers } of all) expect(headers.authorization).toBe(basic)
      expect(new Set(all.map(({ url }) => url)).size).toBeGreaterThan(0)
    })
  )

  it.scopedLive("a collector that refuses, or is not there, stops nothing and is said once", () =>
    Effect.gen(function* () {
      const { endpoint, exports } = yield* collector(500)
      const gone = yield* Effect.map(Effect.scoped(collector()), (closed) => closed.endpoint)
      for (const url of [endpoint, gone]) {
        const said: Array<string> = []
        const logger = Logger.make(({ message }) => void said.push(String(message)))
        const env = {
          OTEL_EXPORTER_OTLP_ENDPOINT: url,
          OTEL_METRIC_EXPORT_INTERVAL: "10",
          OTEL_TRACES_EXPORTER: "none"
        }
        yield* Layer.build(Layer.provideMerge(Otlp.layer(env), Metrics.layer)).pipe(
          Effect.zipRight(url === gone ? Effect.void : Queue.takeBetween(exports, 3, 3)),
          Effect.scoped,
          Effect.provide(Logger.replace(Logger.defaultLogger, logger))
        )
        expect(said).toEqual(["the collector does not take metrics; trying on"])
      }
    })
  )

  it.effect("without the optional package is one clear line, and nothing is loaded where nothing is asked for", () =>
    Effect.gen(function* () {
      const missing = () => Promise.reject(new Error("ERR_MODULE_NOT_FOUND"))
      const build = (env: Record<string, string>) =>
        Effect.scoped(Layer.build(Layer.provide(Otlp.layer(env, missing), Metrics.layer)))
      const error = yield* Effect.flip(build({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" }))
      expect(error.message).toBe("OTEL_EXPORTER_OTLP_ENDPOINT: exporting needs the package @effect/opentelemetry, which is not installed: npm install @effect/opentelemetry") // prettier-ignore
      yield* build({})
      yield* build({ OTEL_SDK_DISABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" })
    })
  )
})

describe("the standard variables", () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318/base" }

  it("of one signal go before the common ones", () => {
    const options = Either.getOrThrow(
      otlpOptions({
        ...endpoint,
        OTEL_EXPORTER_OTLP_HEADERS: "a=1",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://t/x",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS: "b=2"
      })
    )
    expect(options?.traces).toEqual({ url: "http://t/x", headers: { b: "2" } })
    expect(options?.metrics).toEqual({ url: "http://c:4318/base/v1/metrics", headers: { a: "1" } })
    expect(options).toMatchObject({ protobuf: true, metricIntervalMillis: 60_000, resource: { serviceName: "websocketmanager" } }) // prettier-ignore
  })

  it.each<[Record<string, string>, string]>([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" }, "OTEL_EXPORTER_OTLP_ENDPOINT: is no http or https URL"],
    [{ ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }, "OTEL_EXPORTER_OTLP_PROTOCOL: grpc is not spoken here, http/protobuf or http/json is"], // prettier-ignore
    [{ ...endpoint, OTEL_METRIC_EXPORT_INTERVAL: "1 minute" }, "OTEL_METRIC_EXPORT_INTERVAL: 1 minute is no number of milliseconds"] // prettier-ignore
  ])("%j is refused in one line", (env, message) => {
    const options = otlpOptions(env)
    expect(Either.isLeft(options) && options.left.message).toBe(message)
  })
})
