/** Three processes with sidecars of their own over one PostgreSQL; events go through a Redis. */
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { beforeAll, expect } from "vitest"
import { built } from "../cli/runWsm.js"
import { freezeOne, killOne } from "../process/instanceScenarios.js"
import { ALL, EACH } from "../process/processFleet.js"
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
    () =>
      Effect.gen(function* () {
        const { fleet } = yield* postgresFleet
        expect(yield* Effect.promise(() => killOne(fleet, "PostgreSQL"))).toEqual({
          up: ALL,
          claimed: EACH,
          gaps: EACH
        })
      }),
    TIMEOUT
  )

  it.scopedLive(
    "SIGSTOP for 15 seconds, then SIGCONT: the woken one closes, says nothing late, and joins again",
    () =>
      Effect.gen(function* () {
        const { fleet } = yield* postgresFleet
        expect(yield* Effect.promise(() => freezeOne(fleet, "PostgreSQL"))).toEqual({
          open: 0,
          late: 0,
          joinedAgain: true
        })
      }),
    TIMEOUT
  )

  it.scopedLive(
    "the store stopped for 60 seconds: not one socket closes, every frame is published, and nobody is fenced",
    () =>
      Effect.gen(function* () {
        const started = yield* postgresFleet
        expect(yield* stopStore(started, started.store, "PostgreSQL")).toEqual({ closed: 0, lost: 0, fenced: 0 })
      }),
    TIMEOUT
  )
})
