/** Processes of a fleet leave by SIGTERM: one of three, and all of them one after the other. */
import { afterEach, beforeAll, expect, it } from "vitest"
import { built } from "../cli/runWsm.js"
import { embedded } from "./fleetEmbedded.js"
import { endOne, restartEach } from "./instanceScenarios.js"
import { ALL, EACH, Fleet } from "./processFleet.js"
import { cleanUp } from "./instanceProcess.js"

const TIMEOUT = { timeout: 180_000 }

beforeAll(built, 120_000)
afterEach(cleanUp)

it(
  "SIGTERM hands every connection over, without a moment without a socket or a lost frame, and ends with 0 in time",
  TIMEOUT,
  async () => {
    const handedOver = await endOne(await Fleet.start(embedded()), "embedded")
    expect(handedOver).toEqual({ moved: EACH, up: ALL, pauseMs: 0, lost: 0 })
  }
)

it("a rolling restart of all three keeps every connection up, and loses no frame", TIMEOUT, async () => {
  const handedOver = await restartEach(await Fleet.start(embedded()), "embedded")
  expect(handedOver).toMatchObject({ up: ALL, pauseMs: 0, lost: 0 })
})
