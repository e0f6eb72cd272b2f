/** Three processes with sidecars of their own over one Redis lose one, or all. */
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { beforeAll, expect } from "vitest"
import { built } from "../cli/runWsm.js"
import { killAll, killOne } from "../process/instanceScenarios.js"
import { ALL, EACH } from "../process/processFleet.js"
import { requiring } from "../support/Requirements.js"
import { redisFleet } from "./fleetDapr.js"

const TIMEOUT = 240_000

requiring("daprd", "redis")("a fleet over Dapr and Redis", () => {
  beforeAll(built, 120_000)

  it.scopedLive(
    "SIGKILL of one: its connections are up elsewhere, each announced as claimed and with a gap",
    () =>
      Effect.gen(function* () {
        const { fleet } = yield* redisFleet
        expect(yield* Effect.promise(() => killOne(fleet, "Redis"))).toEqual({ up: ALL, claimed: EACH, gaps: EACH })
      }),
    TIMEOUT
  )

  it.scopedLive(
    "all three killed and started again: every connection is up once more, in a higher epoch",
    () =>
      Effect.gen(function* () {
        const { fleet } = yield* redisFleet
        expect(yield* Effect.promise(() => killAll(fleet, "Redis"))).toEqual({ up: ALL, higher: ALL })
      }),
    TIMEOUT
  )
})
