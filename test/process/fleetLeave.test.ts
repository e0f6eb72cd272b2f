/** Processes of a fleet leave by SIGTERM: one of three, and all of them one after the other. */
import { afterEach, beforeAll, expect, it } from "vitest"
import { built } from "../cli/support.js"
import { Fleet } from "./fleetSupport.js"
import { cleanUp } from "./support.js"

const EACH = 50
const DRAIN_TIMEOUT_MS = 30_000
const TIMEOUT = { timeout: 180_000 }

beforeAll(built, 120_000)
afterEach(cleanUp)

it(
  "SIGTERM hands every connection over, without a moment without a socket, and ends with 0 in time",
  TIMEOUT,
  async () => {
    const fleet = await Fleet.start(3)
    await fleet.connect(EACH)
    const moved = [...fleet.owners()].filter(([, owner]) => owner === "i0").map(([id]) => id)
    const { millis, status } = await fleet.of("i0").end("SIGTERM")
    expect(status).toBe(0)
    expect(millis).toBeLessThan(DRAIN_TIMEOUT_MS)
    await fleet.upAt(["i1", "i2"], 10_000)

    // Made before broken: the new socket was open when the old one closed.
    for (const id of moved) {
      const [first, second, ...more] = fleet.server.log.filter((entry) => entry.id === id)
      expect(more).toEqual([])
      expect(second!.openedAt).toBeLessThanOrEqual(first!.closedAt!)
      expect(second!.epoch).toBeGreaterThan(first!.epoch)
    }
    await fleet.judge()
  }
)

it("a rolling restart of all three keeps every connection up", TIMEOUT, async () => {
  const fleet = await Fleet.start(3)
  await fleet.connect(EACH)
  for (const name of ["i0", "i1", "i2"]) {
    const { status } = await fleet.of(name).end("SIGTERM")
    expect(status).toBe(0)
    fleet.instances.delete(name)
    await fleet.upAt([...fleet.instances.keys()], 10_000)
    await fleet.join(name)
    await fleet.acquainted()
  }
  await fleet.judge()
})
