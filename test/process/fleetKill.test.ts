/** Three processes over one data directory lose one, or all: the server's log says what became of the connections. */
import { afterEach, beforeAll, expect, it } from "vitest"
import { built } from "../cli/runWsm.js"
import { embedded } from "./fleetEmbedded.js"
import { killAll, killOne } from "./instanceScenarios.js"
import { ALL, EACH, Fleet } from "./processFleet.js"
import { cleanUp } from "./instanceProcess.js"

const TIMEOUT = { timeout: 120_000 }

beforeAll(built, 120_000)
afterEach(cleanUp)

it(
  "SIGKILL of one of three: its connections are up elsewhere, each announced as claimed and with a gap",
  TIMEOUT,
  async () => {
    const killed = await killOne(await Fleet.start(embedded()), "embedded")
    expect(killed).toEqual({ up: ALL, claimed: EACH, gaps: EACH })
  }
)

it("all three killed and started again: every connection is up once more, in a higher epoch", TIMEOUT, async () => {
  const restarted = await killAll(await Fleet.start(embedded()), "embedded", true)
  expect(restarted).toEqual({ up: ALL, higher: ALL })
})
