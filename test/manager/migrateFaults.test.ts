/** What goes wrong in the middle of a planned move: it is taken back or claimed, never lost, and one owner acts in an epoch. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { TestContext } from "vitest"
import * as MemoryPubSub from "../../src/adapters/embedded/MemoryPubSub.js"
import { connectionKey } from "../../src/domain/stored/Keys.js"
import { Lease } from "../../src/membership/lease/Lease.js"
import { type Node, startFleet } from "./managerFleet.js"
import { allLive, consumer, told, toldTypes } from "./plannedMoves.js"

const OVERLAP = { handover: "HANDOVER_MAKE_BEFORE_BREAK" } as const
const PERIODS = { heartbeatTtl: Duration.seconds(6) }
const PATIENCE = { deadlineMs: 500, handoverMs: 1500 }

const two = async (test: TestContext, bus = MemoryPubSub.make()) => {
  const fleet = await startFleet(test, ["a", "b"], PERIODS, { ...PATIENCE, bus })
  const [a, b] = fleet.nodes as [Node, Node]
  await allLive(fleet.nodes)
  return { fleet, a, b, server: fleet.server }
}

const BY_EPOCH = { headers: { "x-epoch": "${connection:epoch}" } }

describe.concurrent("a target that does not take it", () => {
  it("is silent: an overlapping move never closes the old socket, and the connection stays as it was", async (test) => {
    const { a, b, fleet, server } = await two(test)
    const { epoch, id } = await fleet.connect(a, OVERLAP)
    fleet.network.freeze(b.address)
    test.onTestFinished(() => fleet.network.thaw(b.address))
    const refused = await a.manager.refused(a.service.migrate({ id, targetInstanceId: "b" }))
    assert.include(refused, { _tag: "NoTarget", target: "b" })
    assert.isTrue(server.peers[0]!.open)
    assert.strictEqual(server.peers.length, 1)
    assert.include(await a.manager.run(a.service.get(id)), {
      instanceId: "a",
      epoch,
      status: "CONNECTION_STATUS_CONNECTED"
    })
    // what came too late claims nothing: the offer does not stand any more
    fleet.network.thaw(b.address)
    await a.manager.run(a.service.setTag(id, "after", "all"))
    assert.strictEqual(server.peers.length, 1)
    assert.isTrue(server.peers[0]!.open)
    assert.notInclude(toldTypes(a, id), "migrated")
  })

  it("is gone: nothing is closed for it, with an overlap or without", async (test) => {
    const { a, b, fleet, server } = await two(test)
    const ids = [(await fleet.connect(a)).id, (await fleet.connect(a, OVERLAP)).id]
    fleet.crash(b)
    for (const id of ids) {
      assert.include(await a.manager.refused(a.service.migrate({ id, targetInstanceId: "b" })), { _tag: "NoTarget" })
    }
    assert.strictEqual(server.peers.length, 2)
    assert.strictEqual(server.connections(), 2)
  })

  it("cannot write: without an overlap it is dialled again by its owner, under its epoch", async (test) => {
    const { a, b, fleet, server } = await two(test)
    const { epoch, id } = await fleet.connect(a, BY_EPOCH)
    b.faults.only = ({ key, operation }) => key === connectionKey(id) && operation === "replace"
    b.faults.unavailable = true
    const refused = await a.manager.refused(a.service.migrate({ id, targetInstanceId: "b" }))
    assert.include(refused, { _tag: "NoTarget", target: "b" })
    await a.manager.event(id, "connected", 2)
    assert.include(await a.manager.run(a.service.get(id)), { instanceId: "a", epoch })
    assert.deepStrictEqual(
      server.openings.map(({ headers }) => Number(headers["x-epoch"])),
      [epoch, epoch]
    )
    assert.notInclude(toldTypes(b, id), "migrated")
  })
})

describe.concurrent("a store that is away", () => {
  it("costs no socket, without an overlap either: nothing is closed before it can be offered", async (test) => {
    const { a, fleet, server } = await two(test)
    const { epoch, id } = await fleet.connect(a)
    a.faults.unavailable = true
    const { life } = (await a.manager.run(Effect.map(Lease, (lease) => ({ life: lease.life() })))) as never as {
      readonly life: { readonly storeAway: () => boolean }
    }
    await a.manager.until(() => life.storeAway(), "the store is seen to be away")
    for (let tries = 0; tries < 3; tries++) {
      await a.manager.refused(a.service.migrate({ id, targetInstanceId: "b" }))
    }
    a.faults.heal()
    assert.include(await a.manager.run(a.service.get(id)), { epoch, status: "CONNECTION_STATUS_CONNECTED" })
    assert.deepStrictEqual([server.peers.length, server.peers[0]!.open], [1, true])
  })
})

describe.concurrent("an answer that is lost", () => {
  it("of the claim's write: it is found out, and the move goes on", async (test) => {
    const { a, b, fleet } = await two(test)
    const { id } = await fleet.connect(a, OVERLAP)
    b.faults.only = ({ key, operation }) => key === connectionKey(id) && operation === "replace"
    b.faults.loseResponse(1)
    assert.include(await a.manager.run(a.service.migrate({ id, targetInstanceId: "b" })), { instanceId: "b" })
  })

  it("of the offer's write: it is taken back or goes on, and there is one owner", async (test) => {
    const { a, fleet, server } = await two(test)
    const { id } = await fleet.connect(a, OVERLAP)
    a.faults.only = ({ key, operation }) => key === connectionKey(id) && operation === "replace"
    a.faults.loseResponse(1)
    await a.manager.run(Effect.either(a.service.migrate({ id, targetInstanceId: "b" })))
    await a.manager.until(() => server.connections() === 1, "one socket")
    const shown = await a.manager.run(a.service.get(id))
    assert.strictEqual(shown.status, "CONNECTION_STATUS_CONNECTED")
  })

  it("the word of the target does not come through: its claim stands, the old owner lets go, a gap is told", async (test) => {
    const { a, b, fleet, server } = await two(test)
    const { epoch, id } = await fleet.connect(a, { ...BY_EPOCH })
    // take passes; what b says afterwards does not
    b.faults.only = ({ key, operation }) => key === connectionKey(id) && operation === "replace"
    b.faults.slow = Duration.millis(300)
    const moving = a.manager.run(a.service.migrate({ id, targetInstanceId: "b" }))
    await a.manager.until(() => fleet.network.sent.some(({ from, what }) => from === a.address && what === "take"))
    await new Promise((resolve) => setTimeout(resolve, 150))
    fleet.network.cut(a.address, b.address)
    const answer = await moving
    fleet.network.heal()
    assert.strictEqual(answer.instanceId, "b")
    await b.manager.event(id, "connected")
    await b.manager.until(() => server.connections() === 1, "one socket")
    const epochs = server.openings.map(({ headers }) => Number(headers["x-epoch"]))
    assert.strictEqual(epochs[0], epoch)
    assert.isAbove(epochs[1]!, epoch)
    assert.strictEqual(epochs.length, 2)
    assert.include(toldTypes(b, id), "gap")
  })
})

describe.concurrent("an owner that dies", () => {
  it("in the middle of a move: the connection is up again at the target, under a higher epoch", async (test) => {
    const { a, b, fleet, server } = await two(test)
    const { epoch, id } = await fleet.connect(a, BY_EPOCH)
    b.faults.only = ({ key, operation }) => key === connectionKey(id) && operation === "replace"
    b.faults.slow = Duration.millis(300)
    a.manager.runtime.runFork(a.service.migrate({ id, targetInstanceId: "b" }))
    await a.manager.until(() => fleet.network.sent.some(({ from, what }) => from === a.address && what === "take"))
    fleet.crash(a)
    await b.manager.until(() => told(b, id).some(({ type }) => type === "connected"), "it is up again", 15_000)
    const epochs = server.openings.map(({ headers }) => Number(headers["x-epoch"]))
    assert.strictEqual(epochs[0], epoch)
    assert.isTrue(epochs.slice(1).every((later) => later > epoch))
    assert.strictEqual(server.connections(), 1)
  })
})

describe.concurrent("make before break and a slow broker", () => {
  it("no frame of the new epoch reaches the topic before the last one of the old", async (test) => {
    const inner = MemoryPubSub.make()
    const slow = (ms: number) => Effect.sleep(Duration.millis(ms))
    // what the old owner publishes takes its time; what the new one publishes does not
    const { now: _now, ...publish } = Object.assign(() => Effect.void, inner.publish) as { readonly now?: unknown }
    const bus: typeof inner = {
      ...inner,
      publish: Object.assign((topic: string, events: Parameters<typeof inner.publish>[1]) => {
        const [first] = events
        const old = first?.kind === "frame" && first.origin.instanceId === "a"
        return old ? Effect.zipRight(slow(450), inner.publish(topic, events)) : inner.publish(topic, events)
      }, publish)
    }
    const { a, b, fleet, server } = await two(test, bus)
    const taken = consumer(await b.manager.topic("t"))
    const { id } = await fleet.connect(a, { ...OVERLAP, topic: "t" })
    server.onOpen = (peer) => {
      if (peer === server.peers[1]) for (let i = 0; i < 20; i++) peer.send(`1-${i}`)
    }
    for (let i = 0; i < 500; i++) server.peers[0]!.send(`0-${i}`)
    await a.manager.run(a.service.migrate({ id, targetInstanceId: "b" }))
    await b.manager.until(() => taken().get(id)?.length === 520, "everything is published")
    assert.strictEqual(taken().get(id)!.indexOf("1-0"), 500)
    assert.notInclude(toldTypes(a, id), "gap")
    assert.include(told(b, id).find(({ type }) => type === "migrated")!.attributes, { migrateto: "b" })
  })
})
