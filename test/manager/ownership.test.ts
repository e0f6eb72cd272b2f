/**
 * The whole manager over a store that fails as told, with real sockets: what its work costs the store, and what becomes of
 * connections while the store is away, slow to tell, or emptied. Periods are real and short.
 */
import * as Duration from "effect/Duration"
import type * as Layer from "effect/Layer"
import { describe, expect, it, type TestContext } from "vitest"
import * as ManagerLayer from "../../src/app/ManagerLayer.js"
import { Frame } from "../../src/domain/Frame.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { connectionKey, INDEX_KEY, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import type { PubSub } from "../../src/ports/PubSub.js"
import * as FaultyBus from "../support/FaultyPubSub.js"
import { type Peer, ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"
import { alone } from "./alone.js"

const ID = "one"
const LEASE = { heartbeatInterval: Duration.millis(500), heartbeatTtl: Duration.millis(2500) }
const FAST = { baseDelayMs: 20, maxDelayMs: 40 }

interface Stored {
  readonly tombstone?: boolean
  readonly status: string
  readonly epoch: number
  readonly incarnation: string
  readonly ids: ReadonlyArray<string>
}

const arranged = async (context: TestContext, pubSub?: Layer.Layer<PubSub>) => {
  const {
    backend,
    connect: open,
    ...rest
  } = await alone(context, {
    settings: { instanceId: ID, ...LEASE },
    ...(pubSub && { pubSub })
  })
  const { faults, manager } = rest
  const connect = async (request: Partial<ConnectRequest> = {}) => {
    const connection = await open({ topic: "t", ...request })
    return { ...connection, peer: rest.server.last }
  }
  const stored = (key: string): Stored | undefined => {
    const entry = backend.entries.get(key)
    return entry === undefined ? undefined : (JSON.parse(entry.value) as Stored)
  }
  /** State operations beside the heartbeat. */
  const operations = () => faults.calls.filter(({ key }) => key !== instanceKey(ID) && !isWatch(key))
  /** What is written of a connection behind its answer has been written. */
  const settled = (id: string) =>
    manager.until(() => stored(connectionKey(id))?.status === "CONNECTION_STATUS_CONNECTED", "its status is written")
  return { ...rest, backend, connect, operations, settled, stored }
}

/** the bulk read of the fleet, one an interval */
const isWatch = (key: string) => key.startsWith(`${INDEX_KEY} `)
const view = (manager: TestManager, id: string) => manager.runtime.runSync(manager.service.get(id))
const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))
/** How long after a moment the peer saw its socket go. */
const closedAfter = async (server: ScriptedServer, peer: Peer, moment: number): Promise<number> => {
  await server.until(() => !peer.open)
  return peer.closedAt! - moment
}

describe.concurrent("what work costs the store", () => {
  it("a thousand frames cost nothing", async (context) => {
    const { connect, faults, manager, operations, settled } = await arranged(context)
    const events = await manager.topic("t")
    const { id, peer } = await connect()
    await settled(id)
    faults.calls.length = 0
    await peer.flood({ count: 1000, size: 200 })
    await manager.until(() => events.length === 1000, "a thousand frames")
    await sleep(500)
    expect(operations()).toEqual([])
    expect(faults.calls.length).toBeLessThanOrEqual(12)
  })

  it("a connect costs two writes before its answer and one behind it", async (context) => {
    const { connect, faults, operations, settled } = await arranged(context)
    const first = await connect()
    await settled(first.id)
    await sleep(300)
    faults.calls.length = 0
    const { id } = await connect()
    expect(operations().map(({ key, operation }) => [operation, key])).toEqual([
      ["replace", pageKey(ID, 0)],
      ["create", connectionKey(id)]
    ])
    await settled(id)
    await sleep(1000)
    expect(operations().slice(2)).toMatchObject([{ operation: "replace", key: connectionKey(id) }])
  })
})

describe.concurrent("while the store is away, a lone instance", () => {
  it.for(["unavailable", "blackhole"] as const)(
    "keeps its sockets and publishes on, and loses nothing (%s)",
    { timeout: 20_000 },
    async (fault, context) => {
      const { connect, faults, manager, server, stored } = await arranged(context)
      const events = await manager.topic("t")
      const kept = await Promise.all([connect(), connect({ onLeaseLoss: "LEASE_LOSS_CONTINUE" })])
      const life = stored(instanceKey(ID))!.incarnation
      faults[fault] = true
      let sent = 0
      for (const until = Date.now() + 3200; Date.now() < until; await sleep(100)) {
        for (const peer of server.peers) peer.send(String(++sent))
      }
      faults.heal()
      await sleep(1000)
      await manager.until(() => events.length === sent, "every frame")
      expect(server.peers.map((peer) => peer.open)).toEqual([true, true])
      expect(stored(instanceKey(ID))!.incarnation).toBe(life)
      for (const { epoch, id } of kept) {
        expect(view(manager, id)).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED", epoch, framesDropped: 0 })
        expect(manager.types(id)).toEqual(["connecting", "connected"])
      }
      const frames = events as ReadonlyArray<Frame>
      expect(new Set(frames.map((frame) => frame.data.toString())).size).toBe(sent)
    }
  )

  it("refuses a Connect and leaves nothing behind, no socket either", { timeout: 20_000 }, async (context) => {
    const { backend, connect, faults, manager, server, stored } = await arranged(context)
    await connect()
    const before = [...backend.entries.keys()].filter((key) => !key.includes("_index")).sort()
    const ids = stored(pageKey(ID, 0))!.ids
    faults.unavailable = true
    const error = await manager.refused(manager.service.connect({ url: server.url }))
    expect(error).toMatchObject({ _tag: "StateStoreUnavailable" })
    const keyed = await manager.refused(manager.service.connect({ url: server.url, requestId: "k" }))
    expect(keyed).toMatchObject({ _tag: "StateStoreUnavailable" })
    faults.unavailable = false
    faults.blackhole = true
    const silent = await manager.refused(manager.service.connect({ url: server.url }))
    expect(silent).toMatchObject({ _tag: "StateStoreUnavailable" })
    faults.heal()
    await manager.until(() => stored(pageKey(ID, 0))!.ids.length === ids.length, "what was begun is undone")
    await sleep(1000)
    expect(server.openings.length).toBe(1)
    expect(manager.runtime.runSync(manager.service.list({})).connections.length).toBe(1)
    const after = [...backend.entries.keys()].filter((key) => !key.includes("_index")).sort()
    const added = after.filter((key) => !before.includes(key))
    // an end that says so is all that may be there of a write nobody knew the outcome of
    for (const key of added) expect(stored(key)).toMatchObject({ tombstone: true })
    expect(stored(pageKey(ID, 0))!.ids).toEqual(ids)
    await connect({ requestId: "k" })
    expect(server.connections()).toBe(2)
  })

  it(
    "closes a socket at once on Disconnect, and removes the record when the store is back",
    { timeout: 20_000 },
    async (context) => {
      const { connect, faults, manager, server, settled, stored } = await arranged(context)
      const { id, peer } = await connect()
      const { id: other } = await connect()
      await settled(id)
      await settled(other)
      faults.unavailable = true
      const began = Date.now()
      const error = await manager.refused(manager.service.disconnect({ id }))
      expect(error).toMatchObject({ _tag: "StateStoreUnavailable", outcome: "unknown" })
      expect(await closedAfter(server, peer, began)).toBeLessThan(1000)
      expect(peer.closeCode).toBe(1000)
      expect(manager.types(id).at(-1)).toBe("disconnected")
      await sleep(1000)
      expect(stored(connectionKey(id))).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED" })
      faults.heal()
      await manager.until(() => stored(connectionKey(id))?.tombstone === true, "the tombstone")
      await manager.until(() => !stored(pageKey(ID, 0))!.ids.includes(id), "off the page")
      expect(await manager.refused(manager.service.get(id))).toMatchObject({ _tag: "ConnectionNotFound" })
      expect(server.connections()).toBe(1)
      expect(manager.runtime.runSync(manager.service.list({})).connections.map((c) => c.id)).toEqual([other])
    }
  )
})

describe.concurrent("a write of a Connect whose answer is lost", () => {
  it.for(["loseResponse", "swallowResponse"] as const)(
    "is found out: the page's and the record's (%s)",
    { timeout: 30_000 },
    async (fault, context) => {
      for (const part of [`/instances/${ID}/connections/`, "websocketmanager/connections/"]) {
        const { connect, faults, server, settled, stored } = await arranged(context)
        faults.only = ({ key }) => key.includes(part)
        faults[fault](1)
        const { id, epoch } = await connect()
        expect(server.openings.length).toBe(1)
        await settled(id)
        expect(stored(connectionKey(id))).toMatchObject({ epoch })
        expect(stored(pageKey(ID, 0))!.ids).toEqual([id])
      }
    }
  )

  it("and that lands late changes nothing: one record, one socket", { timeout: 20_000 }, async (context) => {
    const { connect, faults, manager, server, settled, stored } = await arranged(context)
    faults.only = ({ key }) => key.includes("websocketmanager/connections/")
    faults.landLate(Duration.millis(700))
    const { epoch, id, peer } = await connect()
    await settled(id)
    await manager.until(() => faults.lateWrites.length === 1, "the late write")
    expect(faults.lateWrites).toMatchObject([{ operation: "create", outcome: "VersionMismatch" }])
    expect(stored(connectionKey(id))).toMatchObject({ epoch, status: "CONNECTION_STATUS_CONNECTED" })
    await sleep(300)
    expect(server.peers.length).toBe(1)
    expect(peer.open).toBe(true)
  })

  it(
    "and that lands after the caller was told is ended by a tombstone, never dialled",
    { timeout: 20_000 },
    async (context) => {
      const { faults, manager, server, stored } = await arranged(context)
      const call = manager.refused(manager.service.connect({ url: server.url }))
      faults.only = ({ key }) => key.includes("websocketmanager/connections/")
      faults.landLate(Duration.seconds(6))
      await manager.until(() => faults.calls.some(({ key }) => key.includes("websocketmanager/connections/")))
      faults.blackhole = true
      const { key } = faults.calls.find((made) => made.key.includes("websocketmanager/connections/"))!
      expect(await call).toMatchObject({ _tag: "StateStoreUnavailable", outcome: "unknown" })
      faults.heal()
      await manager.until(() => faults.lateWrites.length === 1, "the late write")
      await manager.until(() => stored(key)?.tombstone === true, "the tombstone")
      await sleep(500)
      expect(stored(key)).toMatchObject({ tombstone: true })
      await manager.until(() => stored(pageKey(ID, 0))!.ids.length === 0, "off the page")
      expect(server.openings).toEqual([])
    }
  )
})

describe.concurrent("a life that ends", () => {
  it(
    "because the store came back empty: it stops, joins again, and creates anew what it held",
    { timeout: 20_000 },
    async (context) => {
      const { backend, connect, faults, manager, server, settled, stored } = await arranged(context)
      let most = 0
      server.onOpen = () => (most = Math.max(most, server.connections()))
      const { epoch, id, peer } = await connect({ tags: { a: "b" }, requestId: "k" })
      const { id: removed } = await connect()
      await manager.run(manager.service.disconnect({ id: removed }))
      await settled(id)
      const life = stored(instanceKey(ID))!.incarnation
      faults.unavailable = true
      await sleep(700)
      backend.entries.clear()
      const emptiedAt = Date.now()
      faults.heal()
      expect(await closedAfter(server, peer, emptiedAt)).toBeLessThan(1500)
      await manager.event(id, "gap")
      const now = view(manager, id)
      expect(now).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED", tags: { a: "b" }, topic: "t" })
      expect(now.epoch).toBeGreaterThan(epoch)
      expect(manager.types(id).slice(2)).toEqual(["claimed", "connecting", "connected", "gap"])
      expect((await manager.event(id, "claimed")).attributes).toMatchObject({ from: ID, reason: "restart" })
      expect((await manager.event(id, "gap")).attributes["cause"]).toBe("takeover")
      expect(stored(connectionKey(id))).toMatchObject({ epoch: now.epoch })
      expect(stored(instanceKey(ID))!.incarnation).not.toBe(life)
      expect(stored(connectionKey(id))!.incarnation).toBe(stored(instanceKey(ID))!.incarnation)
      expect(stored(pageKey(ID, 0))!.ids).toEqual([id])
      expect(server.connections()).toBe(1)
      expect(most).toBe(2)
      const again = await manager.run(
        manager.service.connect({ url: server.url, reconnect: FAST, topic: "t", tags: { a: "b" }, requestId: "k" })
      )
      expect(again.connection).toMatchObject({ id, epoch: now.epoch })
    }
  )

  it(
    "because it was fenced stops everything within a second, whatever the rule for a lost lease",
    { timeout: 20_000 },
    async (context) => {
      const { backend, connect, manager, server, stored } = await arranged(context)
      const events = await manager.topic("t")
      const stop = await connect({ onLeaseLoss: "LEASE_LOSS_STOP" })
      const goOn = await connect({ onLeaseLoss: "LEASE_LOSS_CONTINUE" })
      const key = instanceKey(ID)
      const fence = { ...stored(key), status: "dead", reason: "silence", by: "somebody", nonce: "foreign" }
      backend.write(key, JSON.stringify(fence), Infinity, Date.now())
      const fencedAt = Date.now()
      const sending = setInterval(() => [stop, goOn].forEach(({ peer }) => peer.open && peer.send("late")), 20)
      context.onTestFinished(() => clearInterval(sending))
      for (const { peer } of [stop, goOn]) expect(await closedAfter(server, peer, fencedAt)).toBeLessThan(1000)
      const published = events.length
      for (const { epoch, id } of [stop, goOn]) {
        await manager.event(id, "gap")
        expect(view(manager, id).epoch).toBeGreaterThan(epoch)
        expect(manager.types(id).slice(2)).toEqual(["claimed", "connecting", "connected", "gap"])
      }
      await server.until(() => server.connections() === 2)
      expect(events.length).toBe(published)
      server.peers.at(-1)!.send("after")
      await manager.until(() => events.length === published + 1, "the frame after")
      const last = events.at(-1) as Frame
      expect([stop.epoch, goOn.epoch].every((epoch) => last.origin.epoch > epoch)).toBe(true)
    }
  )

  it(
    "closes with the connection's leave_code, and dials again whatever that code says of a peer",
    { timeout: 20_000 },
    async (context) => {
      const { backend, connect, manager, server, stored } = await arranged(context)
      const { id, peer } = await connect({ reconnect: { ...FAST, leaveCode: 4004 } })
      const key = instanceKey(ID)
      const fence = { ...stored(key), status: "dead", reason: "silence", by: "somebody", nonce: "foreign" }
      backend.write(key, JSON.stringify(fence), Infinity, Date.now())
      await server.until(() => !peer.open, 10_000)
      expect(peer.closeCode).toBe(4004)
      await manager.event(id, "connected", 2)
      expect(manager.types(id)).not.toContain("failed")
    }
  )

  it(
    "lets nothing be done meanwhile: a Connect between two lives waits for the next one",
    { timeout: 20_000 },
    async (context) => {
      const { backend, connect, faults, manager, server, stored } = await arranged(context)
      const { id } = await connect()
      const key = instanceKey(ID)
      const fence = { ...stored(key), status: "dead", by: "somebody", nonce: "foreign" }
      backend.write(key, JSON.stringify(fence), Infinity, Date.now())
      // the next beat finds the fence; the record of the life after it cannot be written
      let written = 0
      faults.only = (call) => call.key === key && call.operation === "replace" && ++written > 1
      faults.unavailable = true
      await manager.until(() => server.connections() === 0, "fenced")
      expect(manager.runtime.runSync(ManagerLayer.ready)).toBe(false)
      const call = connect()
      await sleep(500)
      expect(server.openings.length).toBe(1)
      expect([...backend.entries.keys()].filter((name) => name.includes("websocketmanager/connections/")).length).toBe(
        1
      )
      faults.heal()
      const made = await call
      expect(stored(connectionKey(made.id))!.incarnation).toBe(stored(key)!.incarnation)
      await manager.event(id, "connected", 2)
      expect(server.connections()).toBe(2)
    }
  )
})

// not beside others: it freezes all of them
describe("a freeze longer than the lease", () => {
  it(
    "drops, counted, what was read before looking, and goes on with what comes after",
    { timeout: 20_000 },
    async (context) => {
      const bus = FaultyBus.make()
      const { connect, manager, server, stored } = await arranged(context, bus.layer)
      const { epoch, id, peer } = await connect({ onLeaseLoss: "LEASE_LOSS_STOP" })
      const life = stored(instanceKey(ID))!.incarnation
      bus.unavailable = true
      for (let i = 0; i < 5; i++) peer.send(`before ${i}`)
      await manager.until(() => view(manager, id).framesReceived === 5, "five frames wait")
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000)
      bus.heal()
      await manager.event(id, "connected", 2)
      expect(peer.open).toBe(false)
      server.last.send("after")
      await manager.until(() => bus.eventsOf("t").length > 0, "the frame after")
      await sleep(1000)
      expect((bus.eventsOf("t") as ReadonlyArray<Frame>).map(({ data }) => data.toString())).toEqual(["after"])
      expect(view(manager, id)).toMatchObject({ epoch, framesReceived: 6, framesPublished: 1, framesDropped: 5 })
      expect(stored(instanceKey(ID))!.incarnation).toBe(life)
      expect((await manager.event(id, "gap")).attributes).toMatchObject({ cause: "publish", lost: "5" })
      expect((await manager.event(id, "gap", 2)).attributes).toMatchObject({ cause: "reconnect", lost: "unknown" })
    }
  )
})
