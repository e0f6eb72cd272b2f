import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import { evenOut } from "../../src/manager/migration/Balance.js"
import { type Node, startFleet } from "./managerFleet.js"
import { allLive } from "./plannedMoves.js"

const PERIODS = { heartbeatTtl: Duration.seconds(6) }

describe("what makes instances even", () => {
  it("every instance is within one of the mean, by the fewest moves, and none gives and takes", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.nat(500), { minLength: 1, maxLength: 8 }), (given) => {
        const counts = new Map(given.map((n, i) => [`i${i}`, n]))
        const transfers = evenOut(counts, Infinity)
        const after = new Map(counts)
        for (const { count, from, to } of transfers) {
          after.set(from, after.get(from)! - count)
          after.set(to, after.get(to)! + count)
        }
        const values = [...after.values()]
        const moved = transfers.reduce((sum, { count }) => sum + count, 0)
        const least = [...counts].reduce((sum, [id, n]) => sum + Math.max(0, n - after.get(id)!), 0)
        const givers = new Set(transfers.map(({ from }) => from))
        return (
          Math.max(...values) - Math.min(...values) <= 1 &&
          moved === least &&
          transfers.every(({ count, to }) => count > 0 && !givers.has(to))
        )
      })
    )
  })

  it("a limit is kept", () => {
    const transfers = evenOut(new Map([["a", 30], ["b", 0], ["c", 0]]), 7) // prettier-ignore
    assert.strictEqual(
      transfers.reduce((sum, { count }) => sum + count, 0),
      7
    )
  })
})

describe("Rebalance", () => {
  it("a new instance gets its share by it, and not before; whoever is asked", { timeout: 60_000 }, async (test) => {
    const fleet = await startFleet(test, ["a"], PERIODS)
    const [a] = fleet.nodes as [Node]
    await Promise.all(Array.from({ length: 30 }, () => fleet.connect(a, { handover: "HANDOVER_MAKE_BEFORE_BREAK" })))
    const b = await fleet.join("b")
    const c = await fleet.join("c")
    await allLive(fleet.nodes)
    assert.deepStrictEqual(await b.manager.run(b.service.rebalance({ dryRun: true })), {
      moved: 20,
      failed: 0,
      connections: { a: 10, b: 10, c: 10 }
    })
    assert.strictEqual((await a.manager.run(a.service.list({ instanceId: "a" }))).connections.length, 30)

    const some = await b.manager.run(b.service.rebalance({ maxMoves: 4 }))
    assert.include(some, { moved: 4, failed: 0 })
    const answer = await b.manager.run(b.service.rebalance({}))
    assert.deepStrictEqual(answer, { moved: 16, failed: 0, connections: { a: 10, b: 10, c: 10 } })
    for (const { name } of [a, b, c]) {
      const { connections } = await c.manager.run(c.service.list({ instanceId: name }))
      assert.strictEqual(connections.length, 10)
      assert.isTrue(connections.every(({ status }) => status === "CONNECTION_STATUS_CONNECTED"))
    }
    assert.strictEqual(fleet.server.connections(), 30)
    assert.include(await a.manager.run(a.service.rebalance({})), { moved: 0, failed: 0 })
  })
})
