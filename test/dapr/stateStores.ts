/** The state stores that are tested, each behind two real sidecars where it can be shared, and handles on them. */
import { join } from "node:path"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as DaprState from "../../src/adapters/dapr/DaprState.js"
import * as DaprSidecar from "../../src/adapters/dapr/Sidecar.js"
import { StateStore } from "../../src/ports/StateStore.js"
import * as Components from "../support/Components.js"
import { startPostgres } from "../support/Postgres.js"
import { startRedis } from "../support/Redis.js"
import type { Server } from "../support/processes.js"
import { type Sidecar, startSidecar } from "../support/Sidecar.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"

export type Store = (typeof StateStore)["Service"]

export interface Setup {
  readonly sidecars: readonly [Sidecar, Sidecar]
  /** the database, where it is a process of its own */
  readonly backend: Server | undefined
}

export interface HandleOptions {
  /** in front of the sidecar's gRPC port */
  readonly grpcPort?: number
  readonly deadline?: Duration.Duration
  readonly allowUntested?: boolean
  readonly component?: string
}

/** The adapter over a sidecar, as the manager builds it. */
export const handle = (sidecar: Sidecar, options: HandleOptions = {}) =>
  Effect.map(Layer.build(layerOf(sidecar, options)), (context): Store => Context.get(context, StateStore))

export const layerOf = (sidecar: Sidecar, options: HandleOptions = {}) =>
  DaprState.layer({
    component: options.component ?? Components.STATE,
    allowUntested: options.allowUntested ?? false,
    ...(options.deadline !== undefined && { deadline: options.deadline })
  }).pipe(
    Layer.provide(
      DaprSidecar.layer({
        endpoint: {
          host: "127.0.0.1",
          httpPort: sidecar.httpPort,
          grpcPort: options.grpcPort ?? sidecar.grpcPort,
          apiToken: undefined
        },
        needs: [],
        wait: Duration.seconds(20)
      })
    )
  )

const two = (component: Components.Resource) =>
  Effect.all([startSidecar({ resources: [component] }), startSidecar({ resources: [component] })])

export const STORES: Readonly<
  Record<
    "in-memory" | "sqlite" | "redis" | "postgresql",
    { readonly tools: ReadonlyArray<"redis" | "postgres">; readonly start: Effect.Effect<Setup, unknown, Scope.Scope> }
  >
> = {
  // it lives in its sidecar: two clients of one
  "in-memory": {
    tools: [],
    start: Effect.map(startSidecar({ resources: [Components.stateInMemory()] }), (sidecar) => ({
      sidecars: [sidecar, sidecar],
      backend: undefined
    }))
  },
  sqlite: {
    tools: [],
    start: Effect.gen(function* () {
      const file = join(yield* temporaryDirectory, "state.db")
      return { sidecars: yield* two(Components.stateSqlite(file)), backend: undefined }
    })
  },
  redis: {
    tools: ["redis"],
    start: Effect.gen(function* () {
      const redis = yield* startRedis({ persistent: true })
      return { sidecars: yield* two(Components.stateRedis(redis.port)), backend: redis }
    })
  },
  postgresql: {
    tools: ["postgres"],
    start: Effect.gen(function* () {
      const postgres = yield* startPostgres
      return { sidecars: yield* two(Components.statePostgres(postgres.connectionString)), backend: postgres }
    })
  }
}
