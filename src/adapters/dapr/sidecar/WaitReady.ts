/** The wait at the start: until the sidecar serves and has loaded what is needed. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { NotAvailable } from "../../../domain/Errors.js"
import { DEADLINE_EXCEEDED, type Endpoint, open, UNIMPLEMENTED } from "./GrpcConnection.js"
import type { HttpAnswer } from "./HttpGet.js"
import * as Metadata from "./Metadata.js"

export interface SidecarOptions {
  readonly endpoint: Endpoint
  /** components that a start needs, and the setting that names each */
  readonly needs: ReadonlyArray<Metadata.Need>
  /** how long the sidecar may take to serve */
  readonly wait: Duration.Duration
}

export const OUTBOUND = "/v1.0/healthz/outbound"

const READY_POLL_INTERVAL = "200 millis"
/** Between two lines that say that this instance waits. */
const SAY_EVERY = 5000
/** For an answer over gRPC. */
const READY_ANSWER_TIMEOUT_MS = 2000
/**
 * How long a component may be missing. One that is not loaded now may be a moment later. And a sidecar whose component
 * failed serves for a moment before it ends.
 */
const SETTLING = 1000

type Get = (path: string) => Effect.Effect<HttpAnswer, { readonly message: string }>

/**
 * What one look found. `components`: all that is needed is there. `missing`: a component is not. `notYet`: why to wait;
 * with the `advice` for when the wait was in vain, unless that is to start a sidecar. `refused`: why waiting is of no use.
 */
type Look =
  | { readonly components: ReadonlyArray<Metadata.Component> }
  | { readonly missing: NotAvailable }
  | { readonly notYet: string; readonly advice?: string }
  | { readonly refused: string }

/**
 * What the sidecar has loaded, once it serves. Says that it waits at once and every few seconds. Fails with one line for the
 * operator: when the time is up, and at once when waiting is of no use.
 */
export const waitReady = ({ endpoint, needs, wait }: SidecarOptions, get: Get) =>
  Effect.gen(function* () {
    const feature = `the Dapr sidecar at ${endpoint.host}:${endpoint.httpPort}`
    const began = yield* Clock.currentTimeMillis
    const deadline = began + Duration.toMillis(wait)
    let saidAt: number | undefined
    let missingSince: number | undefined
    for (;;) {
      const found = yield* look(get, endpoint, needs)
      const now = yield* Clock.currentTimeMillis
      if ("components" in found) {
        if (saidAt !== undefined) yield* Effect.logInfo(`${feature} serves, after ${seconds(now - began)} s`)
        return found.components
      }
      if ("refused" in found) return yield* new NotAvailable({ feature, reason: found.refused })
      missingSince = "missing" in found ? (missingSince ?? now) : undefined
      const until = missingSince === undefined ? deadline : Math.min(deadline, missingSince + SETTLING)
      if (now >= until) {
        if ("missing" in found) return yield* found.missing
        const waited =
          deadline > began
            ? `was not ready within ${seconds(now - began)} s (WSM_DAPR_WAIT)`
            : "is not ready (WSM_DAPR_WAIT is 0)"
        const reason = `it ${waited}: ${found.notYet}; ${found.advice ?? startOne(endpoint)}`
        return yield* new NotAvailable({ feature, reason })
      }
      if (saidAt === undefined || now - saidAt >= SAY_EVERY) {
        saidAt = now
        const why = "missing" in found ? found.missing.reason : found.notYet
        yield* Effect.logInfo(`waiting for ${feature}, for another ${seconds(until - now)} s: ${why}`)
      }
      yield* Effect.sleep(READY_POLL_INTERVAL)
    }
  })

const startOne = ({ grpcPort, httpPort }: Endpoint): string =>
  `start one beside this process, as with 'dapr run --app-id websocketmanager --dapr-http-port ${httpPort} ` +
  `--dapr-grpc-port ${grpcPort} --resources-path ./dapr-components/local', or say where it is with DAPR_HOST and DAPR_HTTP_PORT`

/**
 * A sidecar whose component failed answers 204 too, shortly before it ends. So this also asks what the sidecar has loaded.
 */
const look = (get: Get, endpoint: Endpoint, needs: ReadonlyArray<Metadata.Need>): Effect.Effect<Look> =>
  Effect.gen(function* () {
    const health = yield* get(OUTBOUND)
    if (health.status !== 204) return { notYet: `it answers ${health.status} ${Metadata.messageOf(health.body)}` }
    const metadata = yield* get("/v1.0/metadata")
    if (metadata.status === 401) {
      return {
        refused:
          endpoint.apiToken === undefined
            ? "it asks for a token: set DAPR_API_TOKEN to the one it was started with"
            : "it refuses the token in DAPR_API_TOKEN: set that to the one it was started with"
      }
    }
    if (metadata.status === 404) {
      return { refused: "its API allow list lacks `metadata`: allow it (Configuration, spec.api.allowed)" }
    }
    const components = metadata.status === 200 ? Metadata.componentsOf(metadata.body) : undefined
    if (components === undefined) return { notYet: `its metadata cannot be read (${metadata.status})` }
    const closed = yield* grpc(endpoint)
    if (closed !== undefined) {
      return {
        notYet: `it serves over HTTP, but ${closed}`,
        advice: "set DAPR_GRPC_PORT to the port that it has for gRPC (--dapr-grpc-port)"
      }
    }
    for (const need of needs) {
      const reason = Metadata.missing(need, components)
      if (reason === undefined) continue
      return { missing: new NotAvailable({ feature: `${need.setting}=${need.name}`, reason }) }
    }
    return { components }
  }).pipe(Effect.catchAll(({ message }) => Effect.succeed({ notYet: message })))

/** What is wrong at the gRPC port; undefined: a sidecar answers there, whatever it says. */
const grpc = (endpoint: Endpoint): Effect.Effect<string | undefined> =>
  Effect.scoped(
    Effect.flatMap(open(endpoint), (call) =>
      call(READY_ANSWER_TIMEOUT_MS, (dapr, options) => dapr.getMetadata({}, options))
    )
  ).pipe(
    Effect.as(undefined),
    Effect.catchAll(({ code, kind, message }) => {
      const port = `port ${endpoint.grpcPort} (DAPR_GRPC_PORT)`
      if (kind === "unsent") return Effect.succeed(`nothing listens at its gRPC ${port}`)
      if (kind === "broken") {
        const why =
          code === DEADLINE_EXCEEDED
            ? `does not answer within ${READY_ANSWER_TIMEOUT_MS / 1000} s`
            : `is no gRPC: ${message}`
        return Effect.succeed(`what listens at ${port} ${why}`)
      }
      // a sidecar whose allow list lacks this call is UNIMPLEMENTED too, but its message is not so explicit
      const another = code === UNIMPLEMENTED && message.includes("dapr.proto.runtime.v1.Dapr")
      return Effect.succeed(another ? `what listens at ${port} is no sidecar: ${message}` : undefined)
    })
  )

const seconds = (millis: number): string => (millis / 1000).toFixed(millis < 1000 ? 1 : 0)
