/** Rows that somebody wrote into the state file by hand: real processes say what is wrong, and go on judging each other. */
import { join } from "node:path"
import Database from "libsql"
import { afterEach, beforeAll, describe, expect, it } from "vitest"
import { built } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, Instance, temporaryFolder, until } from "./instanceProcess.js"

const INSTANCES = "websocketmanager/instances/"
/** Only silence tells who is dead. */
const FLEET = {
  WSM_CRASH_DETECTION: "off",
  WSM_HEARTBEAT_INTERVAL: "500 millis",
  WSM_HEARTBEAT_TTL: "3 seconds"
}

beforeAll(built, 120_000)
afterEach(cleanUp)

const file = (folder: string) => {
  const database = new Database(join(folder, "state.db"))
  afterwards(() => database.close())
  database.pragma("busy_timeout = 5000")
  const read = (key: string) => {
    const row = database.prepare("select v from kv where k = ?").get(INSTANCES + key) as { v: string } | undefined
    return row === undefined ? undefined : JSON.parse(row.v)
  }
  const write = (key: string, value: unknown) =>
    database
      .prepare("insert or replace into kv (k, v, version, expires_at) values (?, ?, ?, null)")
      .run(INSTANCES + key, typeof value === "string" ? value : JSON.stringify(value), `by-hand-${Math.random()}`)
  /** Until no beat or join comes in between. */
  const index = (ids: Record<string, unknown>) => {
    const before = read("_index")
    write("_index", { ...before, ids: { ...before.ids, ...ids } })
  }
  return { read, write, index }
}

const troubles = async ({ url }: Instance): Promise<ReadonlyArray<string>> => {
  const health = (await (await fetch(`${url}/health`)).json()) as {
    status: string
    dependencies: ReadonlyArray<{ name: string; status: string }>
  }
  const names = health.dependencies.filter(({ status }) => status === "degraded").map(({ name }) => name)
  expect(health.status).toBe(names.length === 0 ? "ok" : "degraded")
  return names
}

describe("rows written by hand", () => {
  it(
    "are said in /health, and dead peers are noticed, taken over and replaced all the same",
    { timeout: 120_000 },
    async () => {
      const server = await ScriptedServer.start()
      afterwards(() => server.stop())
      const folder = temporaryFolder()
      const env = { ...FLEET, WSM_DATA_DIR: folder, WSM_LOG_LEVEL: "info" }
      const a = await Instance.start({ ...env, WSM_INSTANCE_ID: "a" })
      const b = await Instance.start({ ...env, WSM_INSTANCE_ID: "b" })
      const events = await a.watch()
      const { id } = await b.connect({ url: server.url })

      const rows = file(folder)
      const living = rows.read("b")
      rows.write("copied", living)
      rows.write("twin", { ...living, id: "twin" })
      rows.write("forever", { ...living, id: "forever", incarnation: "x", ttlMs: 1e300 })
      rows.write("torn", JSON.stringify(living).slice(0, 100))
      rows.write("newer", { v: 2 })
      rows.index({
        copied: living.incarnation,
        twin: living.incarnation,
        forever: "x",
        torn: "y",
        newer: "z",
        "no/id": 7
      })
      const named = ["copied", "twin", "forever", "torn", "newer"].map((one) => `the record of instance ${one}`)
      await until(async () => {
        const said = await troubles(a)
        return named.every((name) => said.includes(name))
      }, "all of them stand in /health")

      b.signal("SIGKILL")
      const dead = () =>
        events.find(({ type, attributes }) => type.endsWith("instance-dead") && attributes["instance"] === "b")
      await until(() => dead() !== undefined, "b is found dead by its silence", 60_000)
      expect(dead()!.attributes).toMatchObject({ instance: "b", incarnation: living.incarnation })
      await until(async () => (await a.get(id)).instanceId === "a", "its connection is taken over", 30_000)
      // all but the newer one, which nobody here may judge
      await until(async () => String(await troubles(a)) === named[4], "the others are gone from /health", 30_000)
      // who joins under such an id waits until nobody can live under it
      rows.write("c", "no record at all")
      const c = await Instance.start({ ...env, WSM_INSTANCE_ID: "c" })
      expect(c.process.output.err).toContain("waiting until it was left alone")
    }
  )

  it("an index that cannot be understood keeps who joins waiting, which it says", { timeout: 90_000 }, async () => {
    const folder = temporaryFolder()
    const env = { ...FLEET, WSM_DATA_DIR: folder, WSM_LOG_LEVEL: "info" }
    await Instance.start({ ...env, WSM_INSTANCE_ID: "a" })
    const rows = file(folder)
    const before = rows.read("_index")
    rows.write("_index", { v: 1, ids: [] })
    const b = await Instance.up({ ...env, WSM_INSTANCE_ID: "b" })
    const name = "joining: the index of instances"
    await until(async () => (await troubles(b)).includes(name), "it stands in /health", 30_000)
    await until(() => b.process.output.err.includes(`${name} (for`), "it is said")
    rows.write("_index", before)
    await b.ready()
    expect(await troubles(b)).not.toContain(name)
  })
})
