import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { DrainHooks } from "../../src/manager/DrainHooks.js"
import { startFleet, type Node } from "./managerFleet.js"
import { allLive } from "./plannedMoves.js"

it("a hook that hangs leaves half of the time for moving connections", async (test) => {
  const fleet = await startFleet(test, ["a", "b"])
  const [a] = fleet.nodes as [Node, Node]
  await Promise.all(Array.from({ length: 5 }, () => fleet.connect(a, { handover: "HANDOVER_MAKE_BEFORE_BREAK" })))
  await allLive(fleet.nodes)
  await a.manager.run(Effect.flatMap(DrainHooks, (hooks) => hooks.register("hangs", Effect.never)))
  const answer = await a.manager.run(a.service.drain({ timeoutMs: 6000 }))
  assert.deepStrictEqual(answer, { migrated: 5, closed: 0, abandoned: 0 })
})
