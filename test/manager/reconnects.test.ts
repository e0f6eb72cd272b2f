/** Reconnects that come together, and the close code that is shown of a socket. */
import { describe, expect, it } from "vitest"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { managerAndServer } from "./managerAndServer.js"

const here = managerAndServer()

const connect = async (request: Partial<ConnectRequest> = {}) =>
  (await here.manager.run(here.manager.service.connect({ url: here.server.url, ...request }))).id
const reconnect = (id: string) => here.manager.run(here.manager.service.reconnect(id))
const outcome = (call: Promise<unknown>) =>
  call.then(
    () => "open",
    (error: unknown) => /"_tag":\s*"(\w+)"|(\w+):/.exec(JSON.stringify(error))?.[1] ?? String(error)
  )
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe("Reconnects that come together", () => {
  it("share one dial, and all answer when it is open", async () => {
    const id = await connect()
    here.server.acceptAfter(300)
    const before = here.server.openings.length
    const answers = await Promise.all(Array.from({ length: 20 }, () => reconnect(id)))
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => "CONNECTION_STATUS_CONNECTED"))
    expect(here.server.openings.length).toBe(before + 1)
    expect(here.server.connections()).toBe(1)
  })

  it("one every 50 ms, against a dial of 300 ms: it opens, and no dial is cut", async () => {
    const id = await connect()
    here.server.acceptAfter(300)
    const before = here.server.openings.length
    const calls: Array<Promise<string>> = []
    for (let i = 0; i < 40; i++) {
      calls.push(outcome(reconnect(id)))
      await sleep(50)
    }
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["open"]))
    expect(here.server.openings.length - before).toBe(here.server.peers.length - 1)
    expect(here.server.openings.length - before).toBeLessThan(15)
  }, 30_000)

  it("all fail with what the dial they share fails with", async () => {
    const id = await connect()
    here.server.refuse(404)
    const errors = await Promise.all(
      Array.from({ length: 5 }, () => here.manager.refused(here.manager.service.reconnect(id)))
    )
    expect(errors.map(({ _tag }) => _tag)).toEqual(Array.from({ length: 5 }, () => "DialFailed"))
    here.server.accept()
    expect((await reconnect(id)).status).toBe("CONNECTION_STATUS_CONNECTED")
  })

  it("share the first dial of a Connect that does not wait for it", async () => {
    here.server.acceptAfter(300)
    const id = await connect({ awaitOpen: false })
    await Promise.all([reconnect(id), reconnect(id)])
    expect(here.server.openings.length).toBe(1)
  })

  it("do not wait out a pause before the next dial, nor share one whose socket is being closed", async () => {
    const id = await connect({ reconnect: { baseDelayMs: 60_000, maxDelayMs: 60_000 } })
    here.server.last.cut()
    await here.manager.event(id, "reconnecting")
    const started = performance.now()
    await Promise.all([reconnect(id), reconnect(id), reconnect(id)])
    expect(performance.now() - started).toBeLessThan(15_000)
    expect(here.server.openings.length).toBe(2)
    const closing = here.manager.run(here.manager.service.disconnect({ id }))
    const late = outcome(reconnect(id))
    await closing
    expect(await late).not.toBe("open")
    expect(here.server.connections()).toBe(0)
  })
})

describe("the close code that is shown", () => {
  it("of a Disconnect whose socket tells no code is 1006, whatever an earlier one had", async () => {
    const id = await connect({ reconnect: { baseDelayMs: 10 } })
    here.server.last.close(4321)
    await here.manager.event(id, "connected", 2)
    expect((await here.manager.run(here.manager.service.get(id))).lastCloseCode).toBe(4321)
    here.server.last.stopReading()
    const raw = here.manager.refused(here.manager.service.sendRaw({ id, message: Buffer.alloc(12_000_000) }))
    await sleep(50)
    here.server.last.socket.end()
    await sleep(50)
    await here.manager.run(here.manager.service.disconnect({ id }))
    expect((await raw)._tag).toBe("ConnectionNotOpen")
    expect((await here.manager.event(id, "disconnected")).attributes["closecode"]).toBe("1006")
  })

  it("of a Disconnect in the middle of a dial is 1006, and of one that the peer answered the one that was sent", async () => {
    const first = await connect({ reconnect: { baseDelayMs: 10 } })
    here.server.stallOpening()
    here.server.last.close(4321)
    await here.manager.event(first, "connecting", 2)
    await here.manager.run(here.manager.service.disconnect({ id: first, code: 4000 }))
    expect((await here.manager.event(first, "disconnected")).attributes["closecode"]).toBe("1006")
    here.server.accept()
    const second = await connect()
    await here.manager.run(here.manager.service.disconnect({ id: second, code: 4000 }))
    expect((await here.manager.event(second, "disconnected")).attributes["closecode"]).toBe("4000")
  })

  it("of a socket that ends by FIN while ours is unread is 1006, soon, and it is dialled again", async () => {
    const id = await connect({ keepAlive: { disablePing: true }, reconnect: { baseDelayMs: 10 } })
    here.server.last.stopReading()
    const raw = here.manager.refused(here.manager.service.sendRaw({ id, message: Buffer.alloc(12_000_000) }))
    await sleep(50)
    here.server.last.socket.end()
    const lost = await here.manager.event(id, "reconnecting")
    expect(lost.attributes).toMatchObject({
      closecode: "1006",
      reason: "the peer ended the connection without a close frame"
    })
    expect((await raw)._tag).toBe("ConnectionNotOpen")
    await here.manager.event(id, "connected", 2)
    expect((await here.manager.run(here.manager.service.get(id))).framesSent).toBe(0)
  })
})
