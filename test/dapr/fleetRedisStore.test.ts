/** The Redis that keeps the state of three processes is away for a minute; events go through another. */
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { beforeAll, expect } from "vitest"
import { built } from "../cli/runWsm.js"
import * as C from "../support/Components.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { startFleet } from "./fleetDapr.js"
import { stopStore } from "./backingScenarios.js"

const TIMEOUT = 240_000

requiring("daprd", "redis")("a fleet over Dapr and Redis", () => {
  beforeAll(built, 120_000)

  it.scopedLive(
    "the store stopped for 60 seconds: not one socket closes, every frame is published, and nobody is fenced",
    () =>
      Effect.gen(function* () {
        const store = yield* startRedis({ persistent: true })
        const broker = yield* startRedis()
        const started = yield* startFleet(C.stateRedis(store.port), broker)
        expect(yield* stopStore(started, store, "Redis")).toEqual({ closed: 0, lost: 0, fenced: 0 })
      }),
    TIMEOUT
  )
})
