/** One process of three is frozen for longer than its lease, and wakes among others that own what it held. */
import { afterEach, beforeAll, expect, it } from "vitest"
import { built } from "../cli/runWsm.js"
import { embedded } from "./fleetEmbedded.js"
import { freezeOne } from "./instanceScenarios.js"
import { Fleet } from "./processFleet.js"
import { cleanUp } from "./instanceProcess.js"

beforeAll(built, 120_000)
afterEach(cleanUp)

it(
  "SIGSTOP for 15 seconds, then SIGCONT: taken over by the others; the woken one closes, says nothing late, and joins again",
  { timeout: 120_000 },
  async () => {
    const woken = await freezeOne(await Fleet.start(embedded()), "embedded")
    expect(woken).toEqual({ open: 0, late: 0, joinedAgain: true })
  }
)
