/** Three processes with sidecars of their own over one PostgreSQL; events go through a Redis. */
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { beforeAll } from "vitest"
import { built } from "../cli/runWsm.js"
import { freezeOne, killOne } from "../process/instanceScenarios.js"
import * as C from "../support/Components.js"
import { startPostgres } from "../support/Postgres.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { startFleet } from "./fleetDapr.js"
import { stopStore } from "./backingScenarios.js"

const postgresFleet = Effect.gen(function* () {
  const store = yield* startPostgres
  const broker = yield* startRedis()
  return { ...(yield* startFleet(C.statePostgres(store.connectionString), broker)), store }
})

const TIMEOUT = 240_000

requiring(
  "daprd",
  "redis",
  "postgres"
)("a fleet over Dapr and PostgreSQL", () => {
  beforeAll(built, 120_000)

  it.scopedLive(
    "SIGKILL of one: its connections are up elsewhere, each announced as claimed and with a gap",
    () => Effect.flatMap(postgresFleet, ({ fleet }) => Effect.promise(() => killOne(fleet, "PostgreSQL"))),
    TIMEOUT
  )

  it.scopedLive(
    "SIGSTOP for 15 seconds, then SIGCONT: the woken one closes, says nothing late, and joins again",
    () => Effect.flatMap(postgresFleet, ({ fleet }) => Effect.promise(() => freezeOne(fleet, "PostgreSQL"))),
    TIMEOUT
  )

  it.scopedLive(
    "the store stopped for 60 seconds: not one socket closes, every frame is published, and nobody is fenced",
    () => Effect.flatMap(postgresFleet, (started) => stopStore(started, started.store, "PostgreSQL")),
    TIMEOUT
  )
})
