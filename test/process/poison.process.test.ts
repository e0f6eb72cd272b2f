/** A record that ends whatever runs it, and what that costs the others. Real processes. */
import { join } from "node:path"
import Database from "libsql"
import { afterEach, beforeAll, describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import { built } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, Instance, sleep, temporaryFolder, until } from "./instanceProcess.js"

const HOOK = join(import.meta.dirname, "../support/poison.mjs")
const LONG = 90_000

beforeAll(built, 120_000)
afterEach(cleanUp)

const bench = async (poison: string) => {
  const server = await ScriptedServer.start()
  afterwards(() => server.stop())
  const folder = temporaryFolder()
  const env = {
    WSM_DATA_DIR: folder,
    WSM_HEARTBEAT_INTERVAL: "500 millis",
    WSM_HEARTBEAT_TTL: "3 seconds",
    NODE_OPTIONS: `--import=${HOOK}`,
    POISON: poison
  }
  const start = (id: string) => Instance.start({ ...env, WSM_INSTANCE_ID: id })
  const database = () => new Database(join(folder, "state.db"))
  /** Records that are being tried, or suspects. */
  const onTrial = (): number => {
    const file = database()
    const rows = file.prepare("select v from kv where k like 'websocketmanager/connections/%'").all() as Array<{
      v: string
    }>
    file.close()
    return rows.filter(({ v }) => JSON.parse(v).trial !== undefined).length
  }
  return { server, start, onTrial }
}

const many = (instance: Instance, url: string, count: number) =>
  instance.call((client) =>
    Effect.forEach(Array.from({ length: count }), () => client.Connect({ url }), { concurrency: 16 })
  )

const dead = ({ process }: Instance): boolean => process.child.exitCode !== null || process.child.signalCode !== null

const states = async (instance: Instance) => {
  const all = await instance.list()
  const count = (status: string) => all.filter((c) => c.status === `CONNECTION_STATUS_${status}`).length
  return { connected: count("CONNECTED"), failed: all.filter((c) => c.status === "CONNECTION_STATUS_FAILED") }
}

describe("a record that ends whatever runs it", () => {
  for (const how of ["kill", "abort", "later", "spin"]) {
    it(
      `(${how}) costs two instances at most: the third lives, with the neighbours up`,
      { timeout: 3 * LONG },
      async () => {
        const { onTrial, server, start } = await bench(how)
        const all = [await start("a"), await start("b"), await start("c")]
        const [a] = all as [Instance]
        await many(a, server.url, 8)
        await until(() => onTrial() === 0, "the neighbours are known to be harmless", LONG)
        const poison = await a.connect({ url: `${server.url}/poison`, awaitOpen: false, requestId: "poison" })

        const alive = () => all.filter((one) => one.process.output.err.includes('"claimed"') && !dead(one))
        await until(
          async () => {
            for (const one of alive()) {
              const { connected, failed } = await states(one).catch(() => ({ connected: 0, failed: [] }))
              if (connected === 8 && failed.length === 1) return true
            }
            return false
          },
          "somebody has all of them up, but for one",
          2 * LONG
        )
        // nothing more of it
        await sleep(3000)
        const left = (await Promise.all(all.map(async (one) => ((await answers(one)) ? [one] : [])))).flat()
        expect(left.length).toBe(1)
        const { connected, failed } = await states(left[0]!)
        expect({ connected, failed: failed.map(({ id }) => id) }).toEqual({ connected: 8, failed: [poison.id] })
        expect(failed[0]!.lastError).toMatch(/^quarantined: /)
        expect(left[0]!.logged("failed", poison.id).map(({ reason }) => reason)).toEqual(["quarantined"])
        // a process that spins cannot even be asked to end
        for (const one of all) one.signal("SIGKILL")
      }
    )
  }

  it(
    "restarted under its id again and again: the third start lives, and Reconnect tries it once more",
    { timeout: 3 * LONG },
    async () => {
      const { onTrial, server, start } = await bench("kill")
      let a = await start("a")
      await many(a, server.url, 4)
      await until(() => onTrial() === 0, "the neighbours are known to be harmless", LONG)
      const { id } = await a.connect({ url: `${server.url}/poison`, awaitOpen: false })
      await a.process.ended
      a = await start("a")
      await a.process.ended
      for (let turn = 0; turn < 2; turn++) {
        a = await start("a")
        await until(async () => (await states(a)).connected === 4, "the neighbours are up", LONG)
        expect((await a.get(id)).status).toBe("CONNECTION_STATUS_FAILED")
        if (turn === 1) return
        await a.refused((client) => client.Reconnect({ id }))
        await a.process.ended
      }
    }
  )
})

describe("instances that are killed one after the other", () => {
  it(
    "leave one in quarantine at most, the one that was tried alone, and never a fleet of them",
    { timeout: 3 * LONG },
    async () => {
      const { onTrial, server, start } = await bench("none")
      const all = [await start("a"), await start("b"), await start("c"), await start("d")]
      await many(all[0]!, server.url, 40)
      await until(() => onTrial() === 0, "they are known to be harmless", LONG)
      for (const [i, one] of all.slice(0, 3).entries()) {
        await one.end("SIGKILL")
        // in the middle of taking over
        const next = all.slice(i + 1)
        await until(() => next.some((other) => other.logged("claimed").length > 0), "somebody has claimed", LONG)
      }
      const last = all[3]!
      const settled = async () => {
        const { connected, failed } = await states(last)
        return failed.length <= 1 && connected === 40 - failed.length
      }
      await until(settled, "all others are up again", 2 * LONG)
      const { connected, failed } = await states(last)
      expect(failed.length).toBeLessThanOrEqual(1)
      expect(connected).toBe(40 - failed.length)
    }
  )
})

const answers = ({ url }: Instance): Promise<boolean> =>
  fetch(`${url}/alive`, { signal: AbortSignal.timeout(2000) }).then(
    (answer) => answer.ok,
    () => false
  )
