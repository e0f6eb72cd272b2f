/** A process that has no more file descriptors for dials: its doors answer all the same. */
import { execFileSync } from "node:child_process"
import { afterEach, beforeEach, expect, it } from "vitest"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { cleanUp, Instance, temporaryFolder, until } from "./instanceProcess.js"

let feed: ScriptedServer

beforeEach(async () => {
  feed = await ScriptedServer.start()
})
afterEach(async () => {
  await cleanUp()
  await feed.stop()
})

const timed = async <A>(work: () => Promise<A>): Promise<readonly [A, number]> => {
  const began = performance.now()
  return [await work(), performance.now() - began]
}

it("a thousand connections asked for under a limit of 256: health and Disconnect are quick, and what has room is open", async () => {
  const instance = await Instance.start({ WSM_DATA_DIR: temporaryFolder(), WSM_MAX_CONNECTIONS: "2000" })
  execFileSync("prlimit", ["--pid", String(instance.process.child.pid), "--nofile=256:256"])
  const ids: Array<string> = []
  const request = { url: feed.url, awaitOpen: false, reconnect: { baseDelayMs: 1000, maxDelayMs: 2000 } }
  for (let i = 0; i < 20; i++) {
    const some = await Promise.all(Array.from({ length: 50 }, () => instance.connect(request)))
    ids.push(...some.map(({ id }) => id))
  }
  await until(() => feed.connections() >= 100, "many are open", 30_000)

  // Each over a connection of its own, as an orchestrator asks.
  const live = async () => {
    const answer = await fetch(`${instance.url}/health/live`, { headers: { connection: "close" } })
    return answer.status
  }
  let slowest = 0
  for (let i = 0; i < 30; i++) {
    const [status, ms] = await timed(live)
    expect(status).toBe(200)
    slowest = Math.max(slowest, ms)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  expect(slowest).toBeLessThan(3000)

  const before = feed.connections()
  expect(before).toBeLessThan(256)
  const open = (await instance.list()).filter(({ status }) => status === "CONNECTION_STATUS_CONNECTED")
  const [, took] = await timed(() =>
    Promise.all(open.slice(0, 60).map(({ id }) => instance.call((client) => client.Disconnect({ id }))))
  )
  expect(took).toBeLessThan(15_000)

  // Others take their places; those that find none say why, and are dialled on.
  await until(() => feed.connections() >= before - 10, "others took their places", 30_000)
  const waiting = (await instance.list()).filter(({ lastError }) => lastError.includes("file descriptors"))
  expect(waiting.length).toBeGreaterThan(100)
  expect(waiting[0]!.lastError).toMatch(/^DialFailed: .*too few file descriptors are left \(the limit is 256\)/)
  expect(waiting.every(({ status }) => status !== "CONNECTION_STATUS_FAILED")).toBe(true)

  // A call that waits for its open is told, and leaves nothing behind.
  const error = await instance.refused((client) => client.Connect({ url: feed.url }))
  expect(error).toMatchObject({ _tag: "DialFailed", kind: "refused" })
}, 120_000)
