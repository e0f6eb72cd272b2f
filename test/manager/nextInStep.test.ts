/** Mode NEXT against a real peer that answers late, or never. */
import { afterEach, beforeEach, expect, it } from "vitest"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

let manager: TestManager
let server: ScriptedServer

beforeEach(async () => {
  server = await ScriptedServer.start()
  manager = await TestManager.start()
})
afterEach(async () => {
  await manager.stop()
  await server.stop()
})

const NEXT = { mode: "CORRELATION_MODE_NEXT" } as const
const ask = (id: string, text: string, timeoutMs: number) =>
  manager.service.send({ id, message: Buffer.from(text), correlation: NEXT, timeoutMs })

it("a late reply is published, and the next caller gets the reply to its own message", async () => {
  server.onFrame = (peer, data) => {
    const text = data.toString()
    setTimeout(() => peer.send(`reply to ${text}`), text === "one" ? 500 : 20)
  }
  const { id } = await manager.run(manager.service.connect({ url: server.url, topic: "t" }))
  const published = await manager.topic("t")
  const one = manager.refused(ask(id, "one", 300))
  const others = ["two", "three"].map((text) => manager.run(ask(id, text, 10_000)))
  expect((await one)._tag).toBe("SendTimeout")
  const replies = await Promise.all(others)
  expect(replies.map(({ response }) => Buffer.from(response).toString())).toEqual(["reply to two", "reply to three"])
  await manager.until(() => published.length === 1)
  expect(published.map((event) => ("data" in event ? String(event.data) : event))).toEqual(["reply to one"])
})

it("a peer that never answers costs a new socket, and those who wait are told that they were not sent", async () => {
  server.onFrame = (peer, data) => {
    if (data.toString() !== "one") peer.send(`reply to ${data.toString()}`)
  }
  const { id } = await manager.run(manager.service.connect({ url: server.url, autoReconnect: false }))
  expect((await manager.refused(ask(id, "one", 300)))._tag).toBe("SendTimeout")
  expect(await manager.refused(ask(id, "two", 30_000))).toMatchObject({ _tag: "SendAborted", sent: "no" })
  expect((await manager.event(id, "error")).attributes["error"]).toBe("OutOfStep")
  await manager.event(id, "connected", 2)
  const { response } = await manager.run(ask(id, "three", 10_000))
  expect(Buffer.from(response).toString()).toBe("reply to three")
  expect(server.openings.length).toBe(2)
}, 60_000)
