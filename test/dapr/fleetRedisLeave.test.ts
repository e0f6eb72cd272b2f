/** Three processes with sidecars of their own over one Redis leave by SIGTERM: one, and all of them one after the other. */
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { beforeAll, expect } from "vitest"
import { built } from "../cli/runWsm.js"
import { endOne, restartEach } from "../process/instanceScenarios.js"
import { ALL, EACH } from "../process/processFleet.js"
import { requiring } from "../support/Requirements.js"
import { redisFleet } from "./fleetDapr.js"

const TIMEOUT = 240_000

requiring("daprd", "redis")("a fleet over Dapr and Redis", () => {
  beforeAll(built, 120_000)

  it.scopedLive(
    "SIGTERM hands every connection over, without a moment without a socket or a lost frame, and ends with 0 in time",
    () =>
      Effect.gen(function* () {
        const { fleet } = yield* redisFleet
        expect(yield* Effect.promise(() => endOne(fleet, "Redis"))).toEqual({
          moved: EACH,
          up: ALL,
          pauseMs: 0,
          lost: 0
        })
      }),
    TIMEOUT
  )

  it.scopedLive(
    "a rolling restart of all three keeps every connection up, and loses no frame",
    () =>
      Effect.gen(function* () {
        const { fleet } = yield* redisFleet
        expect(yield* Effect.promise(() => restartEach(fleet, "Redis"))).toMatchObject({ up: ALL, pauseMs: 0, lost: 0 })
      }),
    TIMEOUT
  )
})
