/**
 * Is the process there (`/alive`), may it get new work (`/health/ready`), what is degraded (`/health`), and its numbers
 * (`/metrics`). An instance stays ready during an outage of store or broker: it still holds sockets.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { type DependencyHealth, Health } from "../../manager/Health.js"
import { Metrics } from "../../observability/Metrics.js"
import { render } from "../../observability/Prometheus.js"
import * as Problem from "./Problem.js"

const PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

/** One JSON document, each dependency on a line of its own. */
const report = (phase: string, dependencies: ReadonlyArray<DependencyHealth>): string => {
  const status = dependencies.every((d) => d.status === "ok") ? "ok" : "degraded"
  const lines = dependencies.map((d) => JSON.stringify(d)).join(",\n")
  return `{"status":${JSON.stringify(status)},"phase":${JSON.stringify(phase)},"dependencies":[\n${lines}\n]}\n`
}

export const layer: Layer.Layer<never, never, HttpLayerRouter.HttpRouter | Health | Metrics> = HttpLayerRouter.use(
  (router) =>
    Effect.gen(function* () {
      const health = yield* Health
      const metrics = yield* Metrics
      yield* router.add("GET", "/alive", Problem.empty(200))
      yield* router.add("GET", "/health/live", Problem.line(200, "live"))
      yield* router.add(
        "GET",
        "/health/ready",
        Effect.sync(() => (health.ready() ? Problem.line(200, "ready") : Problem.line(503, health.phase())))
      )
      yield* router.add(
        "GET",
        "/health",
        Effect.map(health.report, (dependencies) =>
          HttpServerResponse.text(report(health.phase(), dependencies), { contentType: "application/json" })
        )
      )
      yield* router.add(
        "GET",
        "/metrics",
        Effect.sync(() => HttpServerResponse.text(render(metrics.collect()), { contentType: PROMETHEUS }))
      )
    })
)
