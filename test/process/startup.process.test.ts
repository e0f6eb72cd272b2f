/** Starting a real process: what it refuses and how it says so, and several of them on one data directory. */
import { once } from "node:events"
import { chmodSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import Database from "libsql"
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { built } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, Instance, launch, logOf, temporaryFolder, until } from "./instanceProcess.js"

let env: Readonly<Record<string, string>>

beforeAll(built, 120_000)
beforeEach(() => {
  env = { WSM_DATA_DIR: temporaryFolder() }
})
afterEach(cleanUp)

/** Starts it, and gives back how it ended and the one line it said. */
const refusal = async (settings: Readonly<Record<string, string>>) => {
  const process = await launch({ ...env, ...settings })
  const { signal, status } = await process.ended
  return { status, signal, out: process.output.out, lines: process.output.err.trimEnd().split("\n") }
}

const busyPort = async (): Promise<string> => {
  const listener = createServer().listen(0, "127.0.0.1")
  await once(listener, "listening")
  afterwards(() => listener.close())
  return String((listener.address() as AddressInfo).port)
}

describe("a start that cannot be is one line and status 1", () => {
  it("for a bad value, which it names with its rule", { timeout: 40_000 }, async () => {
    const [port, ttl] = await Promise.all([
      refusal({ WSM_HTTP_PORT: "99999" }),
      refusal({ WSM_HEARTBEAT_INTERVAL: "2 seconds", WSM_HEARTBEAT_TTL: "3 seconds" })
    ])
    for (const ended of [port!, ttl!]) {
      expect(ended).toMatchObject({ status: 1, signal: null, out: "" })
      expect(ended.lines.length, ended.lines.join("\n")).toBe(1)
    }
    expect(port!.lines[0]).toMatch(/^wsm: WSM_HTTP_PORT.*99999/)
    expect(ttl!.lines[0]).toMatch(/^wsm: WSM_HEARTBEAT_TTL.*3/)
  })

  it("for a port in use, HTTP or gRPC", { timeout: 40_000 }, async () => {
    const port = await busyPort()
    const ends = await Promise.all([refusal({ WSM_HTTP_PORT: port }), refusal({ WSM_GRPC_PORT: port })])
    for (const ended of ends) {
      expect(ended).toMatchObject({ status: 1, signal: null, out: "" })
      const said = ended.lines.filter((line) => line.startsWith("wsm: "))
      expect(said.length, ended.lines.join("\n")).toBe(1)
      expect(said[0]).toContain(port)
    }
  })

  it("for a sidecar that is not there", { timeout: 40_000 }, async () => {
    const dapr = { WSM_BACKING: "dapr", DAPR_HTTP_PORT: "1", WSM_DAPR_WAIT: "100 millis", WSM_LOG_LEVEL: "warning" }
    const { lines, out, status } = await refusal(dapr)
    expect([status, out, lines.length]).toEqual([1, "", 1])
    expect(lines[0]).toMatch(/^wsm: the Dapr sidecar at 127\.0\.0\.1:1 is not available: .*WSM_DAPR_WAIT/)
  })

  it("for a data directory of another layout, which is left as it is", { timeout: 40_000 }, async () => {
    const path = join(env["WSM_DATA_DIR"]!, "state.db")
    const database = new Database(path)
    database.pragma("user_version = 99")
    database.close()
    chmodSync(path, 0o600)
    const { lines, out, status } = await refusal({})
    expect([status, out, lines.length]).toEqual([1, "", 1])
    expect(lines[0]).toMatch(/^wsm: .*state\.db.*layout is 99/)
    const after = new Database(path)
    expect(after.pragma("user_version")).toEqual([{ user_version: 99 }])
    after.close()
  })

  it("for a data directory that cannot be made", { timeout: 40_000 }, async () => {
    const file = join(env["WSM_DATA_DIR"]!, "a file")
    writeFileSync(file, "")
    const { lines, out, status } = await refusal({ WSM_DATA_DIR: join(file, "below") })
    expect([status, out, lines.length]).toEqual([1, "", 1])
    expect(lines[0]).toMatch(/^wsm: .*a file\/below/)
  })
})

describe("two processes on one data directory", () => {
  it("with ids of their own run side by side, each with its connections", { timeout: 40_000 }, async () => {
    const server = await ScriptedServer.start()
    afterwards(() => server.stop())
    const [a, b] = await Promise.all(["a", "b"].map((id) => Instance.start({ ...env, WSM_INSTANCE_ID: id })))
    const { id } = await a!.connect({ url: server.url, topic: "t", tags: { of: "a" } })
    const own = await b!.connect({ url: server.url })
    expect(await b!.get(id)).toMatchObject({ id, instanceId: "a", topic: "t", tags: { of: "a" } })
    await b!.call((client) => client.SendRaw({ id, message: Buffer.from("through b") }))
    await until(() => server.peers[0]!.texts.includes("through b"), "what b was asked to send leaves from a")
    expect(server.connections()).toBe(2)

    const { instances } = await b!.call((client) => client.ListInstances({}))
    expect(instances.map((instance) => instance.id)).toEqual(["b", "a"])
    expect(await a!.end("SIGTERM")).toMatchObject({ status: 0 })
    const both = async () => (await Promise.all([id, own.id].map((one) => b!.get(one)))).map(({ status }) => status)
    await until(async () => (await both()).every((status) => status === "CONNECTION_STATUS_CONNECTED"), "b has both")
    expect(server.connections()).toBe(2)
  })

  it(
    "with the same id: the second one says so and waits, and takes over when the first leaves",
    { timeout: 40_000 },
    async () => {
      const server = await ScriptedServer.start()
      afterwards(() => server.stop())
      const same = { ...env, WSM_INSTANCE_ID: "same" }
      const first = await Instance.start(same)
      const { epoch, id } = await first.connect({ url: server.url })
      const second = await Instance.up(same)
      const said = () => logOf(second.process).filter((line) => line.message.includes("instance id same is in use"))
      await until(() => said().length > 0, "the second one says that it waits")
      expect(said()[0]!.message).toContain(`pid ${first.process.child.pid}`)
      expect((await fetch(`${second.url}/health/ready`)).status).toBe(503)
      expect((await fetch(`${second.url}/alive`)).status).toBe(200)
      const call = second.connect({ url: server.url })
      expect((await first.get(id)).status).toBe("CONNECTION_STATUS_CONNECTED")
      expect(server.peers.length).toBe(1)

      expect(await first.end("SIGTERM")).toMatchObject({ status: 0 })
      await second.ready()
      await server.until(() => server.connections() === 2)
      expect((await call).instanceId).toBe("same")
      await until(async () => (await second.get(id)).status === "CONNECTION_STATUS_CONNECTED", "taken over")
      expect((await second.get(id)).epoch).toBeGreaterThan(epoch)
    }
  )
})
