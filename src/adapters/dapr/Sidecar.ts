/** The Dapr sidecar beside this process: where it is, what it has loaded, and the wait until it serves. */
import { connect } from "node:net"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Dispatcher } from "undici"
import { NotAvailable } from "../../domain/Errors.js"
import { ask, type Asked } from "./internal/ask.js"
import * as Metadata from "./internal/metadata.js"

/** Where the sidecar listens, and the token it asks for. */
export interface Endpoint {
  readonly host: string
  readonly httpPort: number
  readonly grpcPort: number
  readonly apiToken: Redacted.Redacted<string> | undefined
}

export type { Component } from "./internal/metadata.js"

export class Sidecar extends Context.Tag("websocketmanager/adapters/dapr/Sidecar")<
  Sidecar,
  {
    readonly endpoint: Endpoint
    /** HTTP/1.1 to the sidecar, its connections kept; closed with the layer. */
    readonly http: Dispatcher
    /** Headers that every HTTP request carries: the token, where there is one. */
    readonly headers: Readonly<Record<string, string>>
    /** What was loaded when the sidecar became ready. */
    readonly components: ReadonlyArray<Metadata.Component>
    /** Succeeds when the sidecar serves; asks nothing of its components. */
    readonly ping: Effect.Effect<void, { readonly message: string }>
  }
>() {}

export interface SidecarOptions {
  readonly endpoint: Endpoint
  /** components without which there is no start, and the setting that names each */
  readonly needs: ReadonlyArray<Metadata.Need>
  /** how long the sidecar may take to serve */
  readonly wait: Duration.Duration
}

const PAUSE = "200 millis"
/** Between two lines that say that we wait. */
const SAY_EVERY = 5000
/** For one answer; the sidecar is on this host. */
const PATIENCE = 2000
/** A component that is not loaded now may be a moment later; and a sidecar whose component failed serves a moment before it ends. */
const SETTLING = 1000
/** Requests that wait for an answer hold one each. */
const CONNECTIONS = 64

/**
 * Built when the sidecar serves and has loaded what is needed. Fails with one line for the operator when it does not in time,
 * when it refuses the token, or lacks a component.
 */
export const layer = (options: SidecarOptions): Layer.Layer<Sidecar, NotAvailable> =>
  Layer.scoped(
    Sidecar,
    Effect.gen(function* () {
      const { endpoint } = options
      // Loaded here, since the other backing has no use for it.
      const { Pool } = yield* Effect.promise(() => import("undici"))
      const http = yield* Effect.acquireRelease(
        Effect.sync(() => new Pool(originOf(endpoint), { connections: CONNECTIONS, keepAliveTimeout: 30_000 })),
        (pool) => Effect.promise(() => pool.destroy())
      )
      const headers: Record<string, string> =
        endpoint.apiToken === undefined ? {} : { "dapr-api-token": Redacted.value(endpoint.apiToken) }
      const get = (path: string) => ask(http, { path, headers, patience: PATIENCE })
      const components = yield* ready(options, get)
      return {
        endpoint,
        http,
        headers,
        components,
        ping: get(OUTBOUND).pipe(
          Effect.filterOrFail(
            ({ status }) => status === 204,
            ({ body, status }) => ({ message: `it answers ${status} ${Metadata.messageOf(body)}` })
          ),
          Effect.mapError(({ message }) => ({ message: `${endpoint.host}:${endpoint.httpPort}: ${message}` }))
        )
      }
    })
  )

const OUTBOUND = "/v1.0/healthz/outbound"

const originOf = ({ host, httpPort }: Endpoint): string =>
  `http://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${httpPort}`

type Get = (path: string) => Effect.Effect<Asked, { readonly message: string }>

/** What one look found: the components, why to wait on, or why waiting is of no use. */
type Look =
  | { readonly components: ReadonlyArray<Metadata.Component> }
  | { readonly missing: NotAvailable }
  | { readonly notYet: string }
  | { readonly refused: string }

const ready = ({ endpoint, needs, wait }: SidecarOptions, get: Get) =>
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
      if ("missing" in found && now - missingSince! >= SETTLING) {
        return yield* found.missing
      }
      const why = "missing" in found ? found.missing.reason : found.notYet
      if (now >= deadline) {
        const reason =
          `it did not serve within ${seconds(now - began)} s (WSM_DAPR_WAIT): ${why}; start one beside this process, as with ` +
          `'dapr run --app-id websocketmanager --dapr-http-port ${endpoint.httpPort} --resources-path ./dapr-components/local', ` +
          `or say where it is with DAPR_HOST and DAPR_HTTP_PORT`
        return yield* new NotAvailable({ feature, reason })
      }
      if (saidAt === undefined || now - saidAt >= SAY_EVERY) {
        saidAt = now
        yield* Effect.logInfo(`waiting for ${feature}, for another ${seconds(deadline - now)} s: ${why}`)
      }
      yield* Effect.sleep(PAUSE)
    }
  })

/** 204 alone is also said shortly before a sidecar ends whose component failed: what it has loaded is asked too. */
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
    if (!(yield* listens(endpoint.host, endpoint.grpcPort))) {
      return { notYet: `it serves, but nothing listens at its gRPC port ${endpoint.grpcPort} (DAPR_GRPC_PORT)` }
    }
    for (const need of needs) {
      const reason = Metadata.missing(need, components)
      if (reason === undefined) continue
      return { missing: new NotAvailable({ feature: `${need.setting}=${need.name}`, reason }) }
    }
    return { components }
  }).pipe(Effect.catchAll(({ message }) => Effect.succeed({ notYet: message })))

const listens = (host: string, port: number): Effect.Effect<boolean> =>
  Effect.async<boolean>((resume) => {
    const socket = connect({ host, port, timeout: PATIENCE })
    const answered = (does: boolean) => () => {
      socket.destroy()
      resume(Effect.succeed(does))
    }
    socket.once("connect", answered(true)).once("error", answered(false)).once("timeout", answered(false))
    return Effect.sync(() => socket.destroy())
  })

const seconds = (millis: number): string => (millis / 1000).toFixed(millis < 1000 ? 1 : 0)
