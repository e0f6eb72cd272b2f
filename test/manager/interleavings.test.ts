/** Calls that meet each other, a slow store, or the loss of the lease: what wins, and what is left behind. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { describe, expect, it, type TestContext, vi } from "vitest"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { connectionKey, instanceKey } from "../../src/domain/stored/Keys.js"
import { alone } from "./alone.js"

const ID = "one"
const FAST = { baseDelayMs: 20, maxDelayMs: 40, stableAfterMs: 100 }
const LEASE = { heartbeatInterval: Duration.millis(500), heartbeatTtl: Duration.millis(1500) }

const arranged = async (test: TestContext) => {
  const { connect: open, ...rest } = await alone(test, { settings: { instanceId: ID, ...LEASE } })
  const connect = async (request: Partial<ConnectRequest> = {}) => (await open({ reconnect: FAST, ...request })).id
  return { ...rest, connect }
}

const since = async (work: Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await work
  return performance.now() - began
}

describe("Disconnect", () => {
  it("closes the socket at once, whatever waits for the store on the same connection", async (test) => {
    const { connect, faults, manager, server } = await arranged(test)
    const id = await connect()
    faults.only = ({ key }) => key === connectionKey(id)
    faults.blackhole = true
    const tagging = manager.run(Effect.exit(manager.service.setTag(id, "a", "b")))
    await manager.until(() =>
      faults.calls.some((call) => call.operation === "replace" && call.key === connectionKey(id))
    )
    const removing = manager.run(Effect.exit(manager.service.disconnect({ id })))
    expect(await since(server.until(() => server.connections() === 0))).toBeLessThan(1000)
    faults.heal()
    await Promise.all([tagging, removing])
  })

  it("leaves no connection to be found while its removal waits for the store", async (test) => {
    const { connect, faults, manager } = await arranged(test)
    const id = await connect()
    faults.only = (call) => call.key === connectionKey(id) && call.operation === "replace"
    faults.unavailable = true
    const error = await manager.refused(manager.service.disconnect({ id }))
    expect(error).toMatchObject({ _tag: "StateStoreUnavailable", outcome: "unknown" })
    for (const call of [manager.service.get(id), manager.service.getTags(id), manager.service.disconnect({ id })]) {
      expect(await manager.refused<unknown, { readonly _tag: string }>(call)).toMatchObject({
        _tag: "ConnectionNotFound",
        id
      })
    }
  })
})

describe("Disconnect and a fence", () => {
  it("the connection is ended for good, though the next life begins while its socket is closing", async (test) => {
    const { backend, connect, manager, server } = await arranged(test)
    const id = await connect({ requestId: "k" })
    // it does not answer the close frame: closing takes a second, and the next life half of that
    server.last.stopReading()
    const read = (key: string) => JSON.parse(backend.entries.get(key)!.value) as Readonly<Record<string, unknown>>
    const fence = { ...read(instanceKey(ID)), status: "dead", reason: "silence", by: "somebody", nonce: "foreign" }
    backend.write(instanceKey(ID), JSON.stringify(fence), Infinity, Date.now())
    const removed = await manager.run(Effect.either(manager.service.disconnect({ id })))
    if (removed._tag === "Left") expect(removed.left).toMatchObject({ outcome: "unknown" })
    await manager.until(() => read(connectionKey(id))["tombstone"] === true, "the tombstone")
    expect(server.peers.length).toBe(1)
    expect(manager.types(id)).not.toContain("claimed")
    expect(await manager.refused(manager.service.get(id))).toMatchObject({ _tag: "ConnectionNotFound" })
    expect(await connect({ requestId: "k" })).toBe(id)
    server.last.send("up")
    await manager.until(() => manager.runtime.runSync(manager.service.get(id)).framesReceived === 1)
  })
})

describe("Reconnect", () => {
  it("that meets a Disconnect is not answered as if it had dialled", async (test) => {
    const { connect, manager, server } = await arranged(test)
    const id = await connect()
    const [again, gone] = await manager.run(
      Effect.all([Effect.either(manager.service.reconnect(id)), Effect.either(manager.service.disconnect({ id }))], {
        concurrency: "unbounded"
      })
    )
    expect(gone._tag).toBe("Right")
    if (again._tag === "Right") expect(again.right.status).toBe("CONNECTION_STATUS_CONNECTED")
    else expect(["ConnectionNotFound", "ConnectionNotOpen"]).toContain(again.left._tag)
    await server.until(() => server.connections() === 0)
  })

  it("shows the code on the wire of the socket that it closed", async (test) => {
    const { connect, manager } = await arranged(test)
    const { lastCloseCode } = await manager.run(manager.service.reconnect(await connect()))
    expect(lastCloseCode).toBe(1000)
  })
})

describe("the attempts that are shown", () => {
  it("are none as soon as the open counts as stable, before any further loss", async (test) => {
    const { connect, manager, server } = await arranged(test)
    const id = await connect()
    server.last.cut()
    await manager.event(id, "connected", 2)
    const shown = () => manager.runtime.runSync(manager.service.get(id)).reconnectAttempts
    expect(shown()).toBe(1)
    await manager.until(() => shown() === 0, "the open is stable")
  })
})

describe("a lease that is lost", () => {
  /** As after a machine that slept: the wall clock is ahead of what the lease was renewed for. */
  const sleep = (test: TestContext) => {
    const real = Date.now
    const later = real() + 60_000
    const began = performance.now()
    const spy = vi.spyOn(Date, "now").mockImplementation(() => later + Math.floor(performance.now() - began))
    test.onTestFinished(() => spy.mockRestore())
  }

  it("cuts an open socket, tells it as such, and dials again when it is held, whatever give_up_codes say", async (test) => {
    const { connect, manager, server } = await arranged(test)
    const id = await connect({ reconnect: { ...FAST, giveUpCodes: [1006] } })
    sleep(test)
    await manager.event(id, "connected", 2)
    const [lost, error] = [await manager.event(id, "reconnecting"), await manager.event(id, "error")]
    expect(lost.attributes).toMatchObject({ closecode: "1006", reason: "this instance lost its lease" })
    expect(error.attributes).toMatchObject({ error: "LeaseLost" })
    expect(server.peers[0]!.open).toBe(false)
  })

  it("cuts a socket whose handshake is under way, too", async (test) => {
    const { connect, manager, server } = await arranged(test)
    const id = await connect({ awaitOpen: false, handshake: [{ expect: { timeoutMs: 30_000 } }] })
    await server.until(() => server.connections() === 1)
    sleep(test)
    await server.until(() => server.peers[0]!.open === false, 1500)
    await manager.event(id, "connecting", 2)
    expect(server.peers[0]!.open).toBe(false)
  })
})

describe("a Connect with a request_id", () => {
  it("that was cancelled is dialled on after a dial that fails", async (test) => {
    const { manager, server } = await arranged(test)
    server.stallOpening()
    const abort = new AbortController()
    const request = { url: server.url, requestId: "k", reconnect: { ...FAST, dialTimeoutMs: 200 } }
    const call = manager.runtime.runPromise(manager.service.connect(request), { signal: abort.signal })
    await manager.until(() => server.openings.length === 1)
    abort.abort()
    await Promise.allSettled([call])
    server.accept()
    const shown = () => manager.runtime.runSync(manager.service.list({})).connections
    await manager.until(() => shown()[0]?.status === "CONNECTION_STATUS_CONNECTED")
    expect(manager.types(shown()[0]!.id)).toEqual(["connecting", "error", "reconnecting", "connecting", "connected"])
  })

  it("that was cancelled, and asked again, keeps nothing when the dial fails", async (test) => {
    const { manager, server } = await arranged(test)
    server.stallOpening()
    const abort = new AbortController()
    const request = { url: server.url, requestId: "k", reconnect: { ...FAST, dialTimeoutMs: 300 } }
    const call = manager.runtime.runPromise(manager.service.connect(request), { signal: abort.signal })
    await manager.until(() => server.openings.length === 1)
    const again = manager.refused(manager.service.connect(request))
    abort.abort()
    await Promise.allSettled([call])
    expect(await again).toMatchObject({ _tag: "DialFailed", kind: "timeout" })
    expect((await manager.run(manager.service.list({}))).connections).toEqual([])
  })
})
