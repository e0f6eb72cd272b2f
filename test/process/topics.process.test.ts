/** Which topics a caller may publish to, as a caller sees it. Real processes. */
import Database from "libsql"
import { join } from "node:path"
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest"
import { built } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, Instance, temporaryFolder, until } from "./instanceProcess.js"

let server: ScriptedServer

beforeAll(built, 120_000)
beforeEach(async () => {
  server = await ScriptedServer.start()
  afterwards(() => server.stop())
})
afterEach(cleanUp)

const OURS = [
  "websocketmanager.lifecycle",
  "events",
  "websocketmanager/connections/x",
  "websocketmanager/instances/a/connections/1",
  "wsm||websocketmanager/instances/_index"
]

it("no caller publishes to our own topic, or to what looks like a key of our records, at Connect or later", async () => {
  const one = await Instance.start({ WSM_DATA_DIR: temporaryFolder(), WSM_LIFECYCLE_TOPIC: "events" })
  const told = await one.topic("events")
  for (const topic of OURS) {
    const refusal = await one.refused((client) => client.Connect({ url: server.url, topic }))
    expect(refusal, topic).toMatchObject({
      _tag: "PermissionDenied",
      reason: expect.stringContaining("the manager's own")
    })
  }
  expect(await one.list()).toEqual([])
  expect(server.connections()).toBe(0)
  const { id } = await one.connect({ url: server.url, topic: "mine" })
  for (const topic of OURS) {
    const refusal = await one.refused((client) => client.StartPublish({ id, topic }))
    expect(refusal, topic).toMatchObject({ _tag: "PermissionDenied" })
  }
  expect((await one.get(id)).topic).toBe("mine")
  server.last.send("a frame")
  await until(() => told.some((event) => event["type"] === "websocketmanager.connected"), "our own events go there")
  expect(told.filter((event) => event["type"] === "websocketmanager.frame")).toEqual([])
})

it("WSM_TOPICS says which there are; a record of another topic keeps its socket, publishes nothing and says why", async () => {
  const env = { WSM_DATA_DIR: temporaryFolder(), WSM_INSTANCE_ID: "one", WSM_TOPICS: "prices, trades.*" }
  const one = await Instance.start(env)
  const refusal = await one.refused((client) => client.Connect({ url: server.url, topic: "other" }))
  expect(refusal).toMatchObject({
    _tag: "PermissionDenied",
    reason: "topic other is none of those that WSM_TOPICS allows"
  })
  const { id } = await one.connect({ url: server.url, topic: "trades.btc" })
  await one.connect({ url: server.url })
  await one.end("SIGKILL")

  const database = new Database(join(env.WSM_DATA_DIR, "state.db"))
  const key = `websocketmanager/connections/${id}`
  const { v } = database.prepare("select v from kv where k = ?").get(key) as { readonly v: string }
  const changed = JSON.stringify({ ...(JSON.parse(v) as object), topic: "websocketmanager.lifecycle" })
  database.prepare("update kv set v = ? where k = ?").run(changed, key)
  database.close()

  const other = await Instance.start(env)
  await until(async () => (await other.get(id)).lastError.includes("the manager's own"), "it says why")
  const told = await other.topic("websocketmanager.lifecycle")
  await until(() => server.connections() === 2, "both are open")
  for (const peer of server.peers) peer.send("a frame")
  await until(async () => (await other.get(id)).framesReceived === 1, "it receives")
  expect((await other.get(id)).framesPublished).toBe(0)
  expect(told.filter((event) => event["type"] === "websocketmanager.frame")).toEqual([])
})
