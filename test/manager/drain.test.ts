import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { DrainHooks } from "../../src/manager/DrainHooks.js"
import { TestManager, type TestLogLine } from "../support/TestManager.js"
import { three } from "./plannedMoves.js"

const OVERLAP = { handover: "HANDOVER_MAKE_BEFORE_BREAK" } as const
describe.concurrent("a drain", () => {
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

// not beside others: the hooks have their time
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
