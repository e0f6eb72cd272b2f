import { assert, describe, it } from "@effect/vitest"
import type { TestContext } from "vitest"
import type { Node, TestFleet } from "./managerFleet.js"
import { consumer, three, told, toldTypes } from "./plannedMoves.js"

const OVERLAP = { handover: "HANDOVER_MAKE_BEFORE_BREAK" } as const

/** Each open socket gets the next number of its own every few milliseconds; all that was sent, socket by socket. */
const feed = (fleet: TestFleet, { onTestFinished }: TestContext) => {
  const sent: Array<Array<string>> = []
  const timer = setInterval(() => {
    fleet.server.peers.forEach((peer, i) => {
      if (!peer.open || peer.ws.readyState !== 1) return
      const mine = (sent[i] ??= [])
      mine.push(`${i}-${mine.length}`)
      peer.send(mine.at(-1)!)
    })
  }, 2)
  const stop = () => clearInterval(timer)
  onTestFinished(stop)
  return { sent, stop }
}

const migrate = ({ manager, service }: Node, id: string, target?: Node) =>
  manager.run(service.migrate({ id, ...(target === undefined ? {} : { targetInstanceId: target.name }) }))

describe.concurrent("make before break", () => {
  it("loses no frame, keeps them in order, and both sides publish it", async (test) => {
    const { a, b, c, fleet, server } = await three(test)
    const taken = consumer(await c.manager.topic("t"))
    const { id } = await fleet.connect(a, { ...OVERLAP, topic: "t" })
    const { sent, stop } = feed(fleet, test)
    await a.manager.until(() => (sent[0]?.length ?? 0) > 100)

    const moved = await migrate(a, id, b)
    assert.strictEqual(moved.instanceId, "b")
    assert.strictEqual(moved.status, "CONNECTION_STATUS_CONNECTED")
    await b.manager.until(() => (sent[1]?.length ?? 0) > 100)
    stop()
    const all = sent.flat()
    await c.manager.until(() => taken().get(id)?.length === all.length, "everything is published")
    assert.deepStrictEqual(taken().get(id), all)

    assert.strictEqual(server.peers.length, 2)
    const [old, fresh] = server.peers as [(typeof server.peers)[0], (typeof server.peers)[0]]
    assert.isTrue(fresh.openedAt <= old.closedAt!, "the new socket opened before the old one closed")
    assert.strictEqual(old.closeCode, 1000)

    const [source] = told(a, id).filter(({ type }) => type === "migrated")
    const [target] = told(b, id).filter(({ type }) => type === "migrated")
    assert.include(source!.attributes, { migratefrom: "a", migrateto: "b" })
    assert.include(target!.attributes, { migratefrom: "a", migrateto: "b" })
    assert.isAtLeast(Number(source!.attributes["overlapms"]), 0)
    assert.isBelow(Number(source!.attributes["epoch"]), Number(target!.attributes["epoch"]))
    assert.deepStrictEqual(toldTypes(b, id), ["connecting", "connected", "migrated"])
    assert.notInclude(toldTypes(a, id), "gap")
  })

  it("closes the old socket with the connection's leave_code, in a move of either kind", async (test) => {
    const { a, b, fleet, server } = await three(test)
    for (const handover of [OVERLAP, {}]) {
      const { id } = await fleet.connect(a, { ...handover, reconnect: { leaveCode: 4900 } })
      const old = server.last
      await migrate(a, id, b)
      await a.manager.until(() => !old.open)
      assert.strictEqual(old.closeCode, 4900)
    }
  })

  it("frames of the new socket wait for the last one of the old, however slow the broker is", async (test) => {
    const { a, b, c, fleet, server } = await three(test)
    const taken = consumer(await c.manager.topic("t"))
    const { id } = await fleet.connect(a, { ...OVERLAP, topic: "t" })
    server.onOpen = (peer) => {
      if (peer === server.peers[1]) for (let i = 0; i < 50; i++) peer.send(`1-${i}`)
    }
    for (let i = 0; i < 2000; i++) server.peers[0]!.send(`0-${i}`)
    await migrate(a, id, b)
    await c.manager.until(() => taken().get(id)?.length === 2050, "everything is published")
    const frames = taken().get(id)!
    assert.strictEqual(frames.indexOf("1-0"), 2000)
  })

  it("a peer that allows one socket closes the old one itself: it is not dialled anew", async (test) => {
    const { a, b, fleet, server } = await three(test)
    const { id } = await fleet.connect(a, OVERLAP)
    server.onOpen = () => server.peers[0]!.ws.close(4000, "one at a time")
    await migrate(a, id, b)
    assert.strictEqual(server.peers.length, 2)
    assert.strictEqual((await b.manager.run(b.service.get(id))).status, "CONNECTION_STATUS_CONNECTED")
  })
})

describe.concurrent("break before make", () => {
  it("closes the old socket before the new one opens, and says what may be missing", async (test) => {
    const { a, b, c, fleet, server } = await three(test)
    const taken = consumer(await c.manager.topic("t"))
    const { id } = await fleet.connect(a, { topic: "t" })
    server.peers[0]!.send("last")
    await c.manager.until(() => taken().get(id)?.length === 1)
    const moved = await migrate(a, id, b)
    assert.strictEqual(moved.instanceId, "b")
    await b.manager.event(id, "gap")
    server.peers[1]!.send("first")
    await c.manager.until(() => taken().get(id)?.length === 2)
    assert.isTrue(server.peers[0]!.closedAt! <= server.peers[1]!.openedAt)
    assert.deepStrictEqual(toldTypes(b, id), ["migrated", "connecting", "connected", "gap"])
    const gap = told(b, id).find(({ type }) => type === "gap")!
    assert.include(gap.attributes, { cause: "takeover", lastsequence: "1", firstsequence: "1", lost: "unknown" })
    assert.include(told(a, id).at(-1)!.attributes, { migratefrom: "a", migrateto: "b", overlapms: "0" })
  })

  it("one that is not to be up moves without a dial", async (test) => {
    const { a, b, fleet, server } = await three(test)
    const { id } = await fleet.connect(a, { autoReconnect: false })
    server.peers[0]!.ws.close(1000)
    await a.manager.event(id, "disconnected")
    const moved = await migrate(a, id, b)
    assert.include(moved, { instanceId: "b", status: "CONNECTION_STATUS_DISCONNECTED" })
    assert.strictEqual(server.peers.length, 1)
  })
})

describe.concurrent("who takes it", () => {
  it("any instance may be asked; the manager chooses the least loaded", async (test) => {
    const { a, b, c, fleet } = await three(test)
    await fleet.connect(b)
    await c.manager.until(
      () => c.manager.events.some((e) => e.type === "connected" && e.instanceId === "b"),
      "the fleet hears of it"
    )
    const { id } = await fleet.connect(a)
    // what the others have is known by their last beat
    for (const deadline = Date.now() + 5000; Date.now() < deadline;) {
      const all = await a.manager.run(a.service.listInstances)
      if (all.find((i) => i.id === "b")?.connections === 1) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.strictEqual((await migrate(b, id)).instanceId, "c")
  })

  it("to its own owner it stays as it is", async (test) => {
    const { a, fleet, server } = await three(test)
    const { epoch, id } = await fleet.connect(a)
    assert.include(await migrate(a, id, a), { instanceId: "a", epoch })
    assert.strictEqual(server.peers.length, 1)
  })

  it("nobody there, an unknown one, a draining one: NoTarget with its name, and the socket stays open", async (test) => {
    const { a, b, c, fleet, server } = await three(test)
    const { id } = await fleet.connect(a)
    const unknown = await a.manager.refused(a.service.migrate({ id, targetInstanceId: "nobody" }))
    assert.include(unknown, { _tag: "NoTarget", id, target: "nobody" })
    await b.manager.run(b.service.drain({}))
    const draining = await a.manager.refused(a.service.migrate({ id, targetInstanceId: "b" }))
    assert.include(draining, { _tag: "NoTarget", id, target: "b" })
    await c.manager.run(c.service.drain({}))
    let alone = await a.manager.refused(a.service.migrate({ id }))
    for (const deadline = Date.now() + 5000; alone._tag !== "NoTarget" && Date.now() < deadline;) {
      alone = await a.manager.refused(a.service.migrate({ id }))
    }
    assert.include(alone, { _tag: "NoTarget", id })
    assert.strictEqual(server.peers.length, 1)
    assert.isTrue(server.peers[0]!.open)
  })
})
