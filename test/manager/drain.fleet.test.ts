import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { TestContext } from "vitest"
import { DrainHooks } from "../../src/manager/DrainHooks.js"
import * as FaultyPubSub from "../support/FaultyPubSub.js"
import * as FaultyStateStore from "../support/FaultyStateStore.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager, type TestLogLine } from "../support/TestManager.js"
import type { Node } from "./managerFleet.js"
import { startFleet } from "./managerFleet.js"
import { allLive, consumer } from "./plannedMoves.js"

const OVERLAP = { handover: "HANDOVER_MAKE_BEFORE_BREAK" } as const
const PERIODS = { heartbeatTtl: Duration.seconds(6) }
const PATIENCE = { deadlineMs: 500, handoverMs: 1500 }

const three = async (test: TestContext) => {
  const fleet = await startFleet(test, ["a", "b", "c"], PERIODS, PATIENCE)
  const [a, b, c] = fleet.nodes as [Node, Node, Node]
  await allLive(fleet.nodes)
  return { fleet, a, b, c, server: fleet.server }
}

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

  it("that cannot move them in time releases them, and says how many", async (test) => {
    const { a, b, c, fleet } = await three(test)
    await Promise.all(Array.from({ length: 5 }, () => fleet.connect(a)))
    for (const { address } of [b, c]) fleet.network.freeze(address)
    test.onTestFinished(() => [b, c].forEach(({ address }) => fleet.network.thaw(address)))
    const answer = await a.manager.run(a.service.drain({ timeoutMs: 3000 }))
    assert.deepStrictEqual(answer, { migrated: 0, closed: 0, abandoned: 5 })
    assert.strictEqual(fleet.server.connections(), 0)
  })

  it("takes nothing new from the first moment on: no connect, no move to it", async (test) => {
    const { a, b, fleet, server } = await three(test)
    await fleet.connect(a)
    const { id } = await fleet.connect(b)
    const drained = a.manager.run(
      a.service.drain({ mode: "DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE", timeoutMs: 2000 })
    )
    assert.include(await a.manager.refused(a.service.connect({ url: server.url })), { _tag: "InstanceDraining" })
    // b may not know yet, and asks: it is refused, and goes on
    assert.include(await b.manager.refused(b.service.migrate({ id, targetInstanceId: "a" })), { _tag: "NoTarget" })
    assert.strictEqual((await b.manager.run(b.service.get(id))).instanceId, "b")
    await b.manager.until(() => server.connections() >= 1)
    await drained
  })

  it("that is called again waits for the first", async (test) => {
    const { a, fleet } = await three(test)
    await Promise.all(Array.from({ length: 20 }, () => fleet.connect(a, OVERLAP)))
    const [first, second] = await Promise.all([a.manager.run(a.service.drain({})), a.manager.run(a.service.drain({}))])
    assert.deepStrictEqual(second, first)
    assert.strictEqual(first.migrated, 20)
  })
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

describe("drain hooks", () => {
  it("run in the order of registration, once not ready, before the first connection moves; a bad one holds up nothing", async (test) => {
    const log: Array<TestLogLine> = []
    const manager = await TestManager.start({ log, settings: { drainTimeout: Duration.seconds(3) } })
    test.onTestFinished(() => manager.stop())
    const order: Array<string> = []
    await manager.run(
      Effect.gen(function* () {
        const hooks = yield* DrainHooks
        const says = (name: string) => Effect.sync(() => order.push(name))
        yield* hooks.register("first", Effect.delay(says("first"), "50 millis"))
        yield* hooks.register("fails", Effect.zipRight(says("fails"), Effect.fail("no")))
        yield* hooks.register("dies", Effect.zipRight(says("dies"), Effect.die("worse")))
        const remove = yield* hooks.register("removed", says("removed"))
        yield* remove
        yield* hooks.register("hangs", Effect.zipRight(says("hangs"), Effect.never))
        yield* hooks.register("last", says("last"))
      })
    )
    const began = Date.now()
    await manager.run(manager.service.drain({ timeoutMs: 1500 }))
    assert.isBelow(Date.now() - began, 5000)
    assert.deepStrictEqual(order, ["first", "fails", "dies", "hangs", "last"])
    const errors = log.filter(({ level }) => level === "ERROR").map(({ text }) => text)
    assert.isTrue(errors.some((text) => text.includes('drain hook "fails" failed')))
    assert.isTrue(errors.some((text) => text.includes('drain hook "dies" failed')))
    assert.isTrue(errors.some((text) => text.includes('drain hook "hangs" did not end in time')))
  })
})
