/** One process of three is frozen for longer than its lease, and wakes among others that own what it held. */
import { afterEach, beforeAll, expect, it } from "vitest"
import { built } from "../cli/support.js"
import { outages } from "../support/countingServer.mjs"
import { Fleet, report } from "./fleetSupport.js"
import { cleanUp, sleep, until } from "./support.js"

const EACH = 50
const FROZEN_MS = 15_000

beforeAll(built, 120_000)
afterEach(cleanUp)

it(
  "SIGSTOP for 15 seconds, then SIGCONT: taken over by the others; the woken one closes, says nothing late, and joins again",
  { timeout: 120_000 },
  async () => {
    const fleet = await Fleet.start(3)
    await fleet.connect(EACH)
    const frozen = fleet.of("i0")
    const incarnation = async () =>
      (await fleet.of("i1").call((client) => client.ListInstances({}))).instances.find(
        ({ id, status }) => id === "i0" && status === "INSTANCE_STATUS_ALIVE"
      )?.incarnation
    const before = await incarnation()
    expect(before).toBeDefined()

    const at = Date.now()
    frozen.signal("SIGSTOP")
    await fleet.upAt(["i1", "i2"], FROZEN_MS)
    const millis = outages(fleet.server.log, "i0", at)
    report("SIGSTOP of one of three", millis)
    expect(millis).toHaveLength(EACH)
    // Its own sockets stand, with nobody behind them.
    expect(fleet.server.sockets()).toBe(4 * EACH)

    await sleep(at + FROZEN_MS - Date.now())
    const woken = Date.now()
    frozen.signal("SIGCONT")
    const old = fleet.server.log.filter(({ instance, openedAt }) => instance === "i0" && openedAt <= at)
    await until(() => old.every(({ closedAt }) => closedAt !== undefined), "the woken one closes its sockets")
    // A second is the law; the rest is for a machine with other things to do.
    expect(Math.max(...old.map(({ closedAt }) => closedAt!)) - woken).toBeLessThan(3000)

    await until(async () => ![before, undefined].includes(await incarnation()), "it joins again, as another", 30_000)
    await frozen.ready()
    await fleet.acquainted()
    // What the server sent into the freeze waited in the sockets, and was first read after waking.
    const sent = old.reduce((sum, entry) => sum + entry.sent, 0)
    const published = fleet.published.find(({ by }) => by === "i0")!.events
    const late = published.filter(({ data }) => Number(data!.split(" ")[1]) > at + 500)
    expect(sent).toBeGreaterThan(published.length)
    expect(late).toEqual([])
    await fleet.judge()
  }
)
