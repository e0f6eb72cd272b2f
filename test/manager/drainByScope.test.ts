/** A program that embeds the manager closes its scope: the drain that this begins keeps the lease like any other. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { instanceKey } from "../../src/domain/stored/Keys.js"
import { Lease } from "../../src/membership/lease/Lease.js"
import { alone } from "./alone.js"
import { type Node, startFleet } from "./managerFleet.js"

const PERIODS = { heartbeatInterval: Duration.millis(500), heartbeatTtl: Duration.millis(2000) }
/** What stands between the end of a lease and the first moment at which another may own, milliseconds. */
const MARGIN = 250
const WAITING = { drainMode: "wait", drainTimeout: Duration.seconds(30) } as const

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

describe("a drain that waits, begun by closing the scope", () => {
  it("cuts the sockets before the lease runs out, and before another opens them", async (test) => {
    const settings = { ...PERIODS, ...WAITING, crashDetection: "off" } as const
    const fleet = await startFleet(test, ["a", "b"], settings)
    const [a, b] = fleet.nodes as [Node, Node]
    await fleet.connect(a)
    const [old] = fleet.server.peers
    const life = await a.manager.run(Effect.map(Lease, (lease) => lease.life()))

    const closing = a.manager.stop()
    a.faults.blackhole = true
    fleet.network.cut(a.address, b.address)
    // whatever was on its way to the store has come to its end
    await sleep(300)
    const expiry = Date.now() + life.remaining()
    assert.isTrue(old!.open, "it waits for its connection to close")
    await fleet.server.until(() => !old!.open, 4000)
    assert.isBelow(old!.closedAt!, expiry + MARGIN)
    const fresh = await fleet.server.peer(2)
    assert.isAtMost(old!.closedAt!, fresh.openedAt)

    a.faults.heal()
    await closing
    await b.manager.run(b.service.drain({ timeoutMs: 1 }))
  })

  it("cuts the sockets at once when it is fenced, and is over", async (test) => {
    const { backend, connect, manager, server } = await alone(test, {
      settings: { ...PERIODS, ...WAITING, instanceId: "one" }
    })
    await connect()
    const closing = manager.stop()
    await sleep(600)
    assert.isTrue(server.last.open, "it waits for its connection to close")
    const key = instanceKey("one")
    const record = JSON.parse(backend.entries.get(key)!.value) as object
    const fence = { ...record, status: "dead", reason: "silence", by: "somebody", nonce: "foreign" }
    backend.write(key, JSON.stringify(fence), Infinity, Date.now())
    const fencedAt = Date.now()
    await server.until(() => !server.last.open, 4000)
    assert.isBelow(server.last.closedAt! - fencedAt, 1000)
    await closing
    assert.isBelow(Date.now() - fencedAt, 5000)
  })
})
