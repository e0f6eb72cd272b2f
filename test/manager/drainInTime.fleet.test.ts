/** A drain of many connections under load, and one against a broker and a store that are silent: each is over in its time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as FaultyPubSub from "../support/FaultyPubSub.js"
import * as FaultyStateStore from "../support/FaultyStateStore.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager, type TestLogLine } from "../support/TestManager.js"
import type { Node } from "./managerFleet.js"
import { consumer, three } from "./plannedMoves.js"

const OVERLAP = { handover: "HANDOVER_MAKE_BEFORE_BREAK" } as const

const held = async ({ manager, name, service }: Node): Promise<number> => {
  const all = await manager.run(service.listInstances)
  return all.find(({ id }) => id === name)!.connections
}

describe("a drain", () => {
  it(
    "hands 300 connections to the two others, spread evenly, and loses no frame of them",
    { timeout: 120_000 },
    async (test) => {
      const { a, b, c, fleet, server } = await three(test)
      const taken = consumer(await c.manager.topic("t"))
      const ids: Array<string> = []
      for (let i = 0; i < 300; i += 50) {
        const some = Array.from({ length: 50 }, () => fleet.connect(a, { ...OVERLAP, topic: "t", url: server.url }))
        ids.push(...(await Promise.all(some)).map(({ id }) => id))
      }
      let n = 0
      const sent: Array<string> = []
      const timer = setInterval(() => {
        for (const [i, peer] of server.peers.entries()) {
          if (!peer.open || peer.ws.readyState !== 1) continue
          sent.push(`${i}-${n}`)
          peer.send(sent.at(-1)!)
        }
        n++
      }, 400)
      test.onTestFinished(() => clearInterval(timer))

      const began = Date.now()
      const answer = await a.manager.run(a.service.drain({ timeoutMs: 60_000 }))
      const took = Date.now() - began
      clearInterval(timer)
      assert.deepStrictEqual(answer, { migrated: 300, closed: 0, abandoned: 0 })
      assert.isBelow(took, 60_000)
      await b.manager.until(() => server.connections() === 300, "one socket each")
      assert.deepStrictEqual([await held(b), await held(c)], [150, 150])

      const frames = () => [...taken().values()].flat()
      await c.manager.until(() => frames().length >= sent.length, "everything is published")
      assert.deepStrictEqual(frames().sort(), [...sent].sort())
      assert.strictEqual(a.manager.events.filter((e) => e.type === "gap").length, 0)
      const shown = await b.manager.run(b.service.get(ids[0]!))
      assert.include(["b", "c"], shown.instanceId)
    }
  )
})

describe("a drain while neither broker nor store answers", () => {
  it("says what is lost, and is over in its time, the end of it included", async (test) => {
    const log: Array<TestLogLine> = []
    const scope = Effect.runSync(Scope.make())
    test.onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)))
    const store = await Effect.runPromise(Scope.extend(FaultyStateStore.make(), scope))
    const bus = FaultyPubSub.make()
    const manager = await TestManager.start({ log, stateStore: store.layer, pubSub: bus.layer })
    test.onTestFinished(() => manager.stop())
    const server = await ScriptedServer.start()
    test.onTestFinished(() => server.stop())
    await manager.run(manager.service.connect({ url: server.url, topic: "t" }))
    bus.hanging.add("t")
    store.blackhole = true
    server.last.send("in vain")
    await manager.until(() => bus.batches.some(({ topic }) => topic === "t"))
    const began = performance.now()
    await manager.run(manager.service.drain({ timeoutMs: 4000 }))
    const took = performance.now() - began
    assert.isBelow(took, 5000)
    // what publishing may take ends so early that the records and the lease have theirs
    const wrote = store.calls.filter(({ at, operation }) => operation !== "get" && at > Date.now() - 3000)
    assert.isNotEmpty(wrote)
    assert.isTrue(log.some(({ text }) => text.startsWith("1 frames could not be published in time")))
    const [, seconds] = /^drained in ([\d.]+) s/.exec(log.find(({ text }) => text.startsWith("drained in "))!.text)!
    assert.isBelow(Number(seconds), 4.9)
  })
})
