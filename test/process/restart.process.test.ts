/** What a process that was killed leaves behind, and how the next one of the same id takes it up. Real processes. */
import { join } from "node:path"
import Database from "libsql"
import { describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import { Instance, logOf, sleep, until } from "./instanceProcess.js"
import { loneInstance, type LoneInstance } from "./loneInstance.js"

const FAST = { baseDelayMs: 20, maxDelayMs: 40 }

let server: LoneInstance["server"]
let env: LoneInstance["env"]
loneInstance((made) => ({ env, server } = made))

/** What the state file holds of a connection. */
const recordOf = (id: string) => {
  const database = new Database(join(env["WSM_DATA_DIR"]!, "state.db"))
  const row = database.prepare("select v from kv where k = ?").get(`websocketmanager/connections/${id}`)
  database.close()
  return JSON.parse((row as { readonly v: string }).v) as { status: string; last: { sequence: number } }
}

/** Epoch, reason and place of the former life, as the log has them. */
const claims = (instance: Instance) => new Map(instance.logged("claimed").map((line) => [line["connection"]!, line]))

describe("after a SIGKILL the same instance", () => {
  it(
    "finds the old process gone at once and dials again everything that should be up",
    { timeout: 60_000 },
    async () => {
      env = { ...env, WSM_HEARTBEAT_INTERVAL: "20 seconds", WSM_HEARTBEAT_TTL: "60 seconds" }
      const first = await Instance.start(env)
      const request = { url: server.url, topic: "t", tags: { kept: "yes" }, reconnect: FAST, requestId: "the request" }
      const kept = await first.connect(request)
      await first.call((client) => client.SetTag({ id: kept.id, key: "later", value: "x" }))
      await first.call((client) => client.StartPublish({ id: kept.id, topic: "u" }))
      const seen = await first.topic("u")
      for (let i = 0; i < 3; i++) server.last.send(`frame ${i}`)
      await until(() => seen.length === 3, "three frames")
      // the status is written with each loss: the position with it
      server.last.cut()
      await until(() => first.logged("gap", kept.id).length === 1, "open again")

      const failed = await first.connect({ url: server.url, reconnect: FAST })
      server.last.close(4401, "who are you")
      const closed = await first.connect({ url: server.url, autoReconnect: false })
      server.last.close(1000, "bye")
      const gone = await first.connect({ url: server.url })
      await first.call((client) => client.Disconnect({ id: gone.id }))
      const many = await first.call((client) =>
        Effect.forEach(Array.from({ length: 200 }), () => client.Connect({ url: server.url, reconnect: FAST }), {
          concurrency: 50
        })
      )
      const statusOf = async (id: string) => (await first.get(id)).status
      await until(async () => (await statusOf(failed.id)) === "CONNECTION_STATUS_FAILED", "given up")
      await until(async () => (await statusOf(closed.id)) === "CONNECTION_STATUS_DISCONNECTED", "closed")
      // written behind: done when the file says so, at most 5 seconds
      await until(() => recordOf(kept.id).last.sequence === 3, "the position is written")
      await until(() => recordOf(failed.id).status === "CONNECTION_STATUS_FAILED", "the failure is written")
      await until(() => recordOf(closed.id).status === "CONNECTION_STATUS_DISCONNECTED", "the end is written")
      const before = server.openings.length
      await first.end("SIGKILL")
      await server.until(() => server.connections() === 0)

      const second = await Instance.up({ ...env, WSM_DIAL_RATE_PER_HOST: "100 per second" })
      // no waiting for the lease of the dead: that alone would be a minute
      await server.until(() => server.connections() === 201, 20_000)
      // a burst of 100, then 101 more at 100 a second, less what the first ones were noticed late
      const dials = server.openings.slice(before).map(({ at }) => at)
      expect(dials.at(-1)! - dials[0]!).toBeGreaterThan(500)
      expect(logOf(second.process).filter((line) => line.message.includes("is in use"))).toEqual([])
      await second.ready()
      await until(async () => (await second.get(kept.id)).status === "CONNECTION_STATUS_CONNECTED", "open again")

      const view = await second.get(kept.id)
      expect(view).toMatchObject({ topic: "u", tags: { kept: "yes", later: "x" }, instanceId: "one" })
      expect(view.epoch).toBeGreaterThan(kept.epoch)
      expect(view.createdAt).toEqual(kept.createdAt)
      const claimed = claims(second)
      expect(claimed.get(kept.id)).toMatchObject({ reason: "restart", from: "one", epoch: view.epoch })
      for (const { id } of many) expect(claimed.has(id)).toBe(true)
      const [gap] = second.logged("gap", kept.id)
      expect(gap).toMatchObject({ cause: "takeover", lost: "unknown", firstsequence: "1" })
      expect([gap!["lastepoch"], gap!["lastsequence"]]).toEqual([String(kept.epoch), "3"])

      const shown = new Map((await second.list()).map((c) => [c.id, c]))
      expect(shown.size).toBe(203)
      expect(shown.get(failed.id)).toMatchObject({ status: "CONNECTION_STATUS_FAILED", lastCloseCode: 4401 })
      expect(shown.get(closed.id)).toMatchObject({ status: "CONNECTION_STATUS_DISCONNECTED", lastCloseCode: 1000 })
      expect(await second.refused((client) => client.Get({ id: gone.id }))).toMatchObject({
        _tag: "ConnectionNotFound"
      })
      // 201 dials, no more: neither the failed nor the closed one, and none twice
      expect(server.openings.length - before).toBe(201)

      const again = await second.connect(request)
      expect(again).toMatchObject({ id: kept.id, epoch: view.epoch, topic: "u" })
      expect(await second.refused((client) => client.Connect({ ...request, topic: "other" }))).toMatchObject({
        _tag: "InvalidRequest",
        field: "requestId"
      })
      expect(server.openings.length - before).toBe(201)
      const reopened = await second.call((client) => client.Reconnect({ id: failed.id }))
      expect(reopened.connection.status).toBe("CONNECTION_STATUS_CONNECTED")
    }
  )

  it("keeps what a record says although the last life ended in the middle of work", { timeout: 60_000 }, async () => {
    const first = await Instance.start(env)
    const requests = Array.from({ length: 40 }, (_, i) => ({ url: server.url, requestId: `r${i}` }))
    const calls = Promise.allSettled(requests.map((request) => first.connect(request)))
    await server.until(() => server.peers.length >= 10, 15_000)
    await first.end("SIGKILL")
    const answered = (await calls).flatMap((call) => (call.status === "fulfilled" ? [call.value.id] : []))
    const second = await Instance.start(env)
    const all = await Promise.all(requests.map((request) => second.connect(request)))
    expect(new Set(all.map(({ id }) => id)).size).toBe(40)
    for (const id of answered) expect(all.map((c) => c.id)).toContain(id)
    await server.until(() => server.connections() === 40, 15_000)
    await sleep(300)
    expect(server.connections()).toBe(40)
  })
})

describe("after a SIGTERM the same instance", () => {
  it(
    "takes up what was left, and its events go on from the last frame that was published",
    { timeout: 60_000 },
    async () => {
      const first = await Instance.start(env)
      const kept = await first.connect({ url: server.url, topic: "t", reconnect: FAST })
      const closed = await first.connect({ url: server.url, autoReconnect: false })
      server.last.close(1000)
      await until(async () => (await first.get(closed.id)).status === "CONNECTION_STATUS_DISCONNECTED", "closed")
      const seen = await first.topic("t")
      for (let i = 0; i < 7; i++) server.peers[0]!.send(`frame ${i}`)
      await until(() => seen.length === 7, "seven frames")
      expect(await first.end("SIGTERM")).toMatchObject({ status: 0 })

      const second = await Instance.start(env)
      await server.until(() => server.connections() === 1)
      await until(() => second.logged("gap", kept.id).length === 1, "the gap")
      expect(claims(second).get(kept.id)).toMatchObject({ reason: "restart", from: "one" })
      expect(second.logged("gap", kept.id)[0]).toMatchObject({
        cause: "takeover",
        lastepoch: String(kept.epoch),
        lastsequence: "7",
        firstsequence: "1"
      })
      const order = logOf(second.process).filter((line) => line["connection"] === kept.id)
      expect(order.map((line) => line.message)).toEqual(["claimed", "connecting", "connected", "gap"])
      expect((await second.get(closed.id)).status).toBe("CONNECTION_STATUS_DISCONNECTED")
      expect((await second.get(kept.id)).epoch).toBeGreaterThan(kept.epoch)
    }
  )
})

describe("an instance whose state file is emptied", () => {
  it("says so loudly, stops acting, joins again and creates anew what it held", { timeout: 60_000 }, async () => {
    // the next beat is far away: it is the write of a tag that finds out
    const instance = await Instance.start({
      ...env,
      WSM_HEARTBEAT_INTERVAL: "20 seconds",
      WSM_HEARTBEAT_TTL: "60 seconds"
    })
    const { epoch, id } = await instance.connect({ url: server.url, reconnect: FAST, tags: { a: "b" } })
    const database = new Database(join(env["WSM_DATA_DIR"]!, "state.db"))
    database.pragma("busy_timeout = 5000")
    database.exec("delete from kv")
    database.close()
    const lost = await instance.refused((client) => client.SetTag({ id, key: "c", value: "d" }))
    expect(lost).toMatchObject({ _tag: "StateStoreUnavailable" })
    await server.until(() => server.peers.length === 2 && server.connections() === 1, 15_000)
    expect(server.peers[0]!.open).toBe(false)
    await until(() => instance.logged("gap", id).length === 1, "dialled again")
    const errors = logOf(instance.process).filter(({ level }) => level === "ERROR")
    expect(errors.map(({ message }) => message)).toEqual([
      expect.stringContaining("has lost the record of this instance")
    ])
    const view = await instance.get(id)
    expect(view).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED", tags: { a: "b" } })
    expect(view.epoch).toBeGreaterThan(epoch)
  })
})
