/** The files of the embedded store under real processes: taken away, copied while in use, copied after the end. */
import { copyFileSync, mkdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest"
import { CONNECTED } from "../../src/domain/ConnectionStatus.js"
import { built, spawned } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, Instance, temporaryFolder, until } from "./instanceProcess.js"

let server: ScriptedServer
let folder: string

beforeAll(built, 120_000)
beforeEach(async () => {
  server = await ScriptedServer.start()
  afterwards(() => server.stop())
  folder = temporaryFolder()
})
afterEach(cleanUp)

const env = (dataDir: string, id: string) => ({ WSM_DATA_DIR: dataDir, WSM_INSTANCE_ID: id })

it("an instance whose files are removed under it is one fleet again with whoever starts in that folder", async () => {
  const one = await Instance.start(env(folder, "one"))
  const { id } = await one.connect({ url: server.url, topic: "t" })
  rmSync(folder, { recursive: true })
  await until(
    () => one.process.output.err.includes("was removed or replaced while it was in use"),
    "it is noticed",
    30_000
  )
  const isUp = async () => (await one.list()).some((found) => found.id === id && found.status === CONNECTED)
  await until(isUp, "the connection is up again", 30_000)
  await one.ready()
  const two = await Instance.start(env(folder, "two"))
  await until(async () => (await two.list()).some((found) => found.id === id), "the other one lists it", 30_000)
  expect((await two.get(id)).instanceId).toBe("one")
  // passed on to its owner: both have the same secret
  await two.call((client) => client.SetTag({ id, key: "seen", value: "yes" }))
  expect((await one.get(id)).tags).toEqual({ seen: "yes" })
  expect(server.connections()).toBe(1)
})

it("a backup of a store in use, put into an empty folder, brings the connections back", async () => {
  const one = await Instance.start(env(folder, "one"))
  const { id } = await one.connect({ url: server.url, topic: "t", tags: { kept: "yes" } })
  const restored = join(temporaryFolder(), "restored")
  mkdirSync(restored)
  const file = join(restored, "state.db")
  expect(await spawned(["backup", file, "--data-dir", folder], {})).toMatchObject({ status: 0, err: "" })
  const again = await spawned(["backup", file, "--data-dir", folder], {})
  expect(again).toMatchObject({
    status: 1,
    err: expect.stringMatching(/is there already, and nothing is written over/)
  })
  expect((await one.get(id)).status).toBe(CONNECTED)
  await one.end("SIGKILL")

  const other = await Instance.start(env(restored, "one"))
  await until(async () => (await other.get(id)).status === CONNECTED, "it is up from the copy")
  expect((await other.get(id)).tags).toEqual({ kept: "yes" })
})

it("after SIGTERM the file alone is the whole store", async () => {
  const one = await Instance.start(env(folder, "one"))
  for (let i = 0; i < 20; i++) await one.connect({ url: server.url, tags: { n: `${i}` } })
  await one.end("SIGTERM")
  const wal = statSync(join(folder, "state.db-wal"), { throwIfNoEntry: false })
  expect(wal?.size ?? 0).toBe(0)
  const copied = temporaryFolder()
  copyFileSync(join(folder, "state.db"), join(copied, "state.db"))
  const other = await Instance.start(env(copied, "one"))
  await until(
    async () => (await other.list()).filter((found) => found.status === CONNECTED).length === 20,
    "all are up"
  )
})
