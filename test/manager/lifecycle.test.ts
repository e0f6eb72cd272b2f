/** One connection from Connect to Disconnect, over real sockets: what it does, what it tells, what it keeps. */
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import { uuidv8FromRequest } from "../../src/common/Uuid.js"
import type { WatchResponse } from "../../src/domain/Messages.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

let manager: TestManager
let server: ScriptedServer

const FAST = { baseDelayMs: 20, maxDelayMs: 40, stableAfterMs: 50 }

beforeEach(async () => {
  server = await ScriptedServer.start()
  manager = await TestManager.start()
})
afterEach(async () => {
  await manager.stop()
  await server.stop()
})

const connect = (request: Partial<ConnectRequest> = {}) =>
  manager.run(manager.service.connect({ url: server.url, reconnect: FAST, ...request }))

const attributes = (event: WatchResponse, ...names: ReadonlyArray<string>) => names.map((n) => event.attributes[n])

describe("Connect", () => {
  it("answers when the socket is open, with what the lists show", async () => {
    const { connection, id, status } = await connect({ topic: "t", tags: { a: "b" } })
    expect(status).toBe("CONNECTION_STATUS_CONNECTED")
    expect(connection).toMatchObject({ id, topic: "t", tags: { a: "b" }, autoReconnect: true, framesReceived: 0 })
    expect(connection.epoch).toBeGreaterThan(1_700_000_000)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    expect(manager.types(id)).toEqual(["connecting", "connected"])
    expect(await manager.run(manager.service.get(id.toUpperCase()))).toMatchObject({ id })
  })

  it("keeps nothing when the first dial fails", async () => {
    server.refuse(401)
    const error = await manager.refused(manager.service.connect({ url: server.url }))
    expect(error).toMatchObject({ _tag: "DialFailed", kind: "http", httpStatus: 401 })
    expect((await manager.run(manager.service.list({}))).connections).toEqual([])
    expect(server.openings.length).toBe(1)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(server.openings.length).toBe(1)
  })

  it("without await_open answers at once and dials on until it opens", async () => {
    server.refuse(500, {}, 2)
    const { id, status } = await connect({ awaitOpen: false })
    expect(status).toBe("CONNECTION_STATUS_CONNECTING")
    await manager.event(id, "connected")
    expect(manager.types(id)).toEqual([
      "connecting",
      "error",
      "reconnecting",
      "connecting",
      "error",
      "reconnecting",
      "connecting",
      "connected"
    ])
    const delays = manager.events.filter((e) => e.type === "reconnecting").map((e) => Number(e.attributes["delayms"]))
    expect(delays[0]).toBeGreaterThanOrEqual(10)
    expect(delays[0]).toBeLessThanOrEqual(20)
    expect(delays[1]).toBeLessThanOrEqual(40)
  })

  it("that is cancelled before its answer is removed, and with a request_id kept", async () => {
    server.stallOpening()
    const abort = new AbortController()
    const calls = [{}, { requestId: "kept" }].map((extra) =>
      manager.runtime.runPromise(manager.service.connect({ url: server.url, ...extra }), { signal: abort.signal })
    )
    await manager.until(() => manager.events.filter((e) => e.type === "connecting").length === 2)
    abort.abort()
    await Promise.allSettled(calls)
    const shown = () => manager.runtime.runSync(manager.service.list({})).connections
    await manager.until(() => shown().length === 1)
    expect(shown().map(({ id }) => id)).toEqual([uuidv8FromRequest("kept")])
  })

  it("with the same request_id is the same connection, with another request refused", async () => {
    const [one, two] = await Promise.all([connect({ requestId: "k" }), connect({ requestId: "k" })])
    expect(two.id).toBe(one.id)
    expect(one.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/)
    expect(server.peers.length).toBe(1)
    await manager.run(manager.service.setTag(one.id, "later", "x"))
    expect((await connect({ requestId: "k", autoReconnect: true })).id).toBe(one.id)
    const error = await manager.refused(
      manager.service.connect({ url: server.url, requestId: "k", reconnect: FAST, topic: "other" })
    )
    expect(error).toMatchObject({ _tag: "InvalidRequest", field: "requestId" })
    await manager.run(manager.service.disconnect({ id: one.id }))
    const again = await connect({ requestId: "k" })
    expect(again.id).toBe(one.id)
    expect(again.connection.epoch).toBeGreaterThan(one.connection.epoch)
  })
})

describe("a socket that is lost", () => {
  it("is dialled again, with every event in order and the gap right after connected", async () => {
    const { id } = await connect({ topic: "t" })
    server.last.send("1")
    server.last.send("2")
    await manager.until(() => manager.runtime.runSync(manager.service.get(id)).framesReceived === 2)
    server.last.cut()
    await manager.event(id, "gap")
    expect(manager.types(id)).toEqual([
      "connecting",
      "connected",
      "error",
      "reconnecting",
      "connecting",
      "connected",
      "gap"
    ])
    const lost = await manager.event(id, "reconnecting")
    expect(attributes(lost, "closecode", "attempt")).toEqual(["1006", "1"])
    const gap = await manager.event(id, "gap")
    expect(attributes(gap, "cause", "lastsequence", "firstsequence", "lost")).toEqual([
      "reconnect",
      "2",
      "3",
      "unknown"
    ])
    expect(gap.attributes["lastepoch"]).toBe(gap.attributes["firstepoch"])
  })

  it("comes back when the server is restarted on its port", async () => {
    const { id } = await connect()
    await server.restart()
    await manager.event(id, "connected", 2)
    expect(manager.runtime.runSync(manager.service.get(id)).status).toBe("CONNECTION_STATUS_CONNECTED")
    expect(server.connections()).toBe(1)
  })

  it("stays DISCONNECTED with auto_reconnect off, until Reconnect", async () => {
    const { id } = await connect({ autoReconnect: false })
    server.last.close(1000, "bye")
    const event = await manager.event(id, "disconnected")
    expect(attributes(event, "closecode", "reason")).toEqual(["1000", "bye"])
    expect(manager.runtime.runSync(manager.service.get(id)).status).toBe("CONNECTION_STATUS_DISCONNECTED")
    const open = await manager.run(manager.service.reconnect(id))
    expect(open.status).toBe("CONNECTION_STATUS_CONNECTED")
  })

  it("is given up for a code of the table, and the reason is shown", async () => {
    const { id } = await connect()
    server.last.close(4401, "who are you")
    await manager.event(id, "failed")
    const view = manager.runtime.runSync(manager.service.get(id))
    expect(view).toMatchObject({ status: "CONNECTION_STATUS_FAILED", lastCloseCode: 4401 })
    expect(server.peers.length).toBe(1)
    expect((await manager.run(manager.service.reconnect(id))).status).toBe("CONNECTION_STATUS_CONNECTED")
  })

  it("is retried slowly after 1008, and at the usual pace when the connection says so", async () => {
    const reconnect = { ...FAST, maxDelayMs: 400 }
    const slow = await connect({ reconnect })
    server.last.close(1008, "slow down")
    const event = await manager.event(slow.id, "reconnecting")
    expect(Number(event.attributes["delayms"])).toBeGreaterThanOrEqual(200)
    const usual = await connect({ reconnect: { ...reconnect, retryCodes: [1008] } })
    server.last.close(1008)
    expect(Number((await manager.event(usual.id, "reconnecting")).attributes["delayms"])).toBeLessThanOrEqual(20)
  })

  it("ends FAILED when the attempts are used up, and counts them truly", async () => {
    const { id } = await connect({ reconnect: { ...FAST, maxAttempts: 3, stableAfterMs: 60_000 } })
    server.refuse(500)
    server.last.cut()
    await manager.event(id, "failed")
    const attempts = manager.events.filter((e) => e.type === "reconnecting").map((e) => e.attributes["attempt"])
    expect(attempts).toEqual(["1", "2", "3"])
    expect(manager.runtime.runSync(manager.service.get(id)).lastError).toContain("DialFailed")
  })

  it("starts the attempts again only after it was open for stable_after_ms", async () => {
    const { id } = await connect({ reconnect: { ...FAST, stableAfterMs: 300 } })
    for (let n = 1; n <= 2; n++) {
      server.last.cut()
      await manager.event(id, "connected", n + 1)
    }
    expect((await manager.event(id, "reconnecting", 2)).attributes["attempt"]).toBe("2")
    await new Promise((resolve) => setTimeout(resolve, 350))
    server.last.cut()
    expect((await manager.event(id, "reconnecting", 3)).attributes["attempt"]).toBe("1")
  })
})

describe("Reconnect", () => {
  it("closes with 1000, dials at once, and keeps id and epoch", async () => {
    const { connection, id } = await connect({ topic: "t" })
    const first = server.last
    const again = await manager.run(manager.service.reconnect(id))
    await server.until(() => !first.open)
    expect(first.closeCode).toBe(1000)
    expect(again).toMatchObject({ id, epoch: connection.epoch, status: "CONNECTION_STATUS_CONNECTED" })
    expect(server.connections()).toBe(1)
  })

  it("answers DialFailed when the dial fails, and the connection stays and is dialled on", async () => {
    const { id } = await connect()
    server.refuse(503, { "retry-after": "0" }, 1)
    const error = await manager.refused(manager.service.reconnect(id))
    expect(error).toMatchObject({ _tag: "DialFailed", httpStatus: 503 })
    await manager.event(id, "connected", 2)
  })
})

describe("Disconnect", () => {
  it("sends the code and the reason, and the id is gone", async () => {
    const { id } = await connect()
    await manager.run(manager.service.disconnect({ id, code: 4123, reason: "done" }))
    expect(server.last).toMatchObject({ closeCode: 4123, closeReason: "done" })
    expect(attributes(await manager.event(id, "disconnected"), "closecode", "reason")).toEqual(["4123", "done"])
    for (const call of [manager.service.get(id), manager.service.disconnect({ id }), manager.service.reconnect(id)]) {
      expect(await manager.refused(call as never)).toMatchObject({ _tag: "ConnectionNotFound", id })
    }
  })

  it("ends a connection that is waiting for its next dial", async () => {
    const { id } = await connect({ reconnect: { baseDelayMs: 5000 } })
    server.last.cut()
    await manager.event(id, "reconnecting")
    await manager.run(manager.service.disconnect({ id }))
    expect((await manager.run(manager.service.list({}))).connections).toEqual([])
  })
})

describe("a request_id whose owner has ended", () => {
  it("is claimed by the instance that is asked, with a higher epoch", async () => {
    const backend = new MemoryState.MemoryBackend()
    const settings = (instanceId: string) => ({ stateStore: MemoryState.layer(backend), settings: { instanceId } })
    const former = await TestManager.start(settings("former"))
    const request = { url: server.url, requestId: "feed", topic: "t" }
    const first = await former.run(former.service.connect(request))
    await former.stop()
    const next = await TestManager.start(settings("next"))
    try {
      const again = await next.run(next.service.connect(request))
      expect(again.id).toBe(first.id)
      expect(again.connection).toMatchObject({ instanceId: "next", topic: "t", status: "CONNECTION_STATUS_CONNECTED" })
      expect(again.connection.epoch).toBeGreaterThan(first.connection.epoch)
      expect((await next.event(first.id, "claimed")).attributes).toMatchObject({ from: "former", reason: "left" })
      expect((await next.event(first.id, "gap")).attributes).toMatchObject({ cause: "takeover" })
    } finally {
      await next.stop()
    }
  })
})
