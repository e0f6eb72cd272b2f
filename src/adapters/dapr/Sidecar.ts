/** The Dapr sidecar beside this process: where it is, what it has loaded, and the wait until it serves. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Dispatcher } from "undici"
import { bracketed } from "../../common/Hosts.js"
import type { NotAvailable } from "../../domain/Errors.js"
import { CLIENT_OPTIONS, PostPool } from "./publish/PostPool.js"
import type { Endpoint } from "./sidecar/GrpcConnection.js"
import { httpGet } from "./sidecar/HttpGet.js"
import * as Metadata from "./sidecar/Metadata.js"
import { OUTBOUND, type SidecarOptions, waitReady } from "./sidecar/WaitReady.js"

export type { Component } from "./sidecar/Metadata.js"

/** The sidecar of this instance: its connections, and what it had loaded when it became ready. */
export class Sidecar extends Context.Tag("websocketmanager/adapters/dapr/Sidecar")<
  Sidecar,
  {
    readonly endpoint: Endpoint
    /** HTTP/1.1 to the sidecar, its connections kept; closed with the layer. */
    readonly http: Dispatcher
    /** The same for publishes, which are many. */
    readonly posts: PostPool
    /** Headers that every HTTP request carries: the token, where there is one. */
    readonly headers: Readonly<Record<string, string>>
    /** What was loaded when the sidecar became ready. */
    readonly components: ReadonlyArray<Metadata.Component>
    /** Succeeds when the sidecar serves; asks nothing of its components. */
    readonly ping: Effect.Effect<void, { readonly message: string }>
  }
>() {}

/** For one answer; the sidecar is on this host. */
const SIDECAR_ANSWER_TIMEOUT_MS = 2000
/** Each request that waits for an answer holds one. */
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
      const { Client, Pool } = yield* Effect.promise(() => import("undici"))
      const http = yield* Effect.acquireRelease(
        Effect.sync(() => new Pool(originOf(endpoint), { connections: CONNECTIONS, keepAliveTimeout: 30_000 })),
        (pool) => Effect.promise(() => pool.destroy())
      )
      const posts = yield* Effect.acquireRelease(
        Effect.sync(() => new PostPool(() => new Client(originOf(endpoint), CLIENT_OPTIONS), CONNECTIONS)),
        (made) => Effect.promise(() => made.destroy())
      )
      const headers: Record<string, string> =
        endpoint.apiToken === undefined ? {} : { "dapr-api-token": Redacted.value(endpoint.apiToken) }
      const get = (path: string) => httpGet(http, { path, headers, patience: SIDECAR_ANSWER_TIMEOUT_MS })
      const components = yield* waitReady(options, get)
      return {
        endpoint,
        http,
        posts,
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

const originOf = ({ host, httpPort }: Endpoint): string => `http://${bracketed(host)}:${httpPort}`
