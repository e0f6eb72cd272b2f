/** One of three processes over one Redis is frozen, or cut off by the death of its sidecar, for longer than its lease. */
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { beforeAll, expect } from "vitest"
import { built } from "../cli/runWsm.js"
import { freezeOne } from "../process/instanceScenarios.js"
import { EACH } from "../process/processFleet.js"
import { requiring } from "../support/Requirements.js"
import { redisFleet } from "./fleetDapr.js"
import { killSidecar } from "./backingScenarios.js"

const TIMEOUT = 240_000

requiring("daprd", "redis")("a fleet over Dapr and Redis", () => {
  beforeAll(built, 120_000)

  it.scopedLive(
    "SIGSTOP for 15 seconds, then SIGCONT: the woken one closes, says nothing late, and joins again",
    () =>
      Effect.gen(function* () {
        const { fleet } = yield* redisFleet
        expect(yield* Effect.promise(() => freezeOne(fleet, "Redis"))).toEqual({ open: 0, late: 0, joinedAgain: true })
      }),
    TIMEOUT
  )

  it.scopedLive(
    "the sidecar of one killed: it stops in time, the others take over, and with its sidecar back it joins again",
    () =>
      Effect.gen(function* () {
        const killed = yield* killSidecar(yield* redisFleet, "Redis")
        expect(killed).toEqual({ takenOver: EACH, joinedAgain: true })
      }),
    TIMEOUT
  )
})
