/** Mode NEXT against a real peer that answers late, or never. */
import { expect, it } from "vitest"
import { managerAndServer } from "./managerAndServer.js"

const here = managerAndServer()

const NEXT = { mode: "CORRELATION_MODE_NEXT" } as const
const ask = (id: string, text: string, timeoutMs: number) =>
  here.manager.service.send({ id, message: Buffer.from(text), correlation: NEXT, timeoutMs })

it("a late reply is published, and the next caller gets the reply to its own message", async () => {
  here.server.onFrame = (peer, data) => {
    const text = data.toString()
    setTimeout(() => peer.send(`reply to ${text}`), text === "one" ? 500 : 20)
  }
  const { id } = await here.manager.run(here.manager.service.connect({ url: here.server.url, topic: "t" }))
  const published = await here.manager.topic("t")
  const one = here.manager.refused(ask(id, "one", 300))
  const others = ["two", "three"].map((text) => here.manager.run(ask(id, text, 10_000)))
  expect((await one)._tag).toBe("SendTimeout")
  const replies = await Promise.all(others)
  expect(replies.map(({ response }) => Buffer.from(response).toString())).toEqual(["reply to two", "reply to three"])
  await here.manager.until(() => published.length === 1)
  expect(published.map((event) => ("data" in event ? String(event.data) : event))).toEqual(["reply to one"])
})

it("a peer that never answers costs a new socket, and those who wait are told that they were not sent", async () => {
  here.server.onFrame = (peer, data) => {
    if (data.toString() !== "one") peer.send(`reply to ${data.toString()}`)
  }
  const { id } = await here.manager.run(here.manager.service.connect({ url: here.server.url, autoReconnect: false }))
  expect((await here.manager.refused(ask(id, "one", 300)))._tag).toBe("SendTimeout")
  expect(await here.manager.refused(ask(id, "two", 30_000))).toMatchObject({ _tag: "SendAborted", sent: "no" })
  expect((await here.manager.event(id, "error")).attributes["error"]).toBe("OutOfStep")
  await here.manager.event(id, "connected", 2)
  const { response } = await here.manager.run(ask(id, "three", 10_000))
  expect(Buffer.from(response).toString()).toBe("reply to three")
  expect(here.server.openings.length).toBe(2)
}, 60_000)
