/** Three processes over one data directory lose one, or all: the server's log says what became of the connections. */
import { afterEach, beforeAll, expect, it } from "vitest"
import { built } from "../cli/support.js"
import { outages } from "../support/countingServer.mjs"
import { Fleet, report } from "./fleetSupport.js"
import { cleanUp, until } from "./support.js"

const EACH = 50
const TIMEOUT = { timeout: 120_000 }

beforeAll(built, 120_000)
afterEach(cleanUp)

it(
  "SIGKILL of one of three: its connections are up elsewhere, each announced as claimed and with a gap",
  TIMEOUT,
  async () => {
    const fleet = await Fleet.start(3)
    await fleet.connect(EACH)
    const events = await fleet.of("i1").watch()
    const lost = [...fleet.owners()].filter(([, owner]) => owner === "i0").map(([id]) => id)
    expect(lost).toHaveLength(EACH)

    const at = Date.now()
    await fleet.of("i0").end("SIGKILL")
    await fleet.upAt(["i1", "i2"], 30_000)
    const millis = outages(fleet.server.log, "i0", at)
    report("SIGKILL of one of three", millis)
    expect(millis).toHaveLength(EACH)
    expect(Math.max(...millis)).toBeLessThan(10_000)

    const announced = (type: string, field: string, value: string) =>
      new Set(
        events.filter((one) => one.type === type && one.attributes[field] === value).map((one) => one.connectionId)
      )
    await until(() => announced("gap", "cause", "takeover").size === EACH, "a gap for each")
    expect([...announced("gap", "cause", "takeover")].toSorted()).toEqual(lost.toSorted())
    expect([...announced("claimed", "reason", "dead")].toSorted()).toEqual(lost.toSorted())
    const epochs = (id: string) => fleet.server.log.filter((entry) => entry.id === id).map(({ epoch }) => epoch)
    for (const id of lost) expect(epochs(id)).toEqual([epochs(id)[0], expect.any(Number)])
    await fleet.judge()
  }
)

it("all three killed and started again: every connection is up once more, in a higher epoch", TIMEOUT, async () => {
  const fleet = await Fleet.start(3)
  await fleet.connect(EACH)
  await Promise.all([...fleet.instances.values()].map((instance) => instance.end("SIGKILL")))
  await until(() => fleet.server.sockets() === 0, "no socket is left")

  const names = [...fleet.instances.keys()]
  await Promise.all(names.map((name) => fleet.join(name)))
  await fleet.upAt(names, 30_000)
  for (const id of fleet.ids) {
    const [first, second, ...more] = fleet.server.log.filter((entry) => entry.id === id).map(({ epoch }) => epoch)
    expect(second).toBeGreaterThan(first!)
    expect(more).toEqual([])
  }
  await fleet.judge()
})
