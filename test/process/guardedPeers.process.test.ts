/** Two processes whose doors speak TLS and ask for a token: what passes between them does so under both. */
import { writeFileSync } from "node:fs"
import { request } from "node:https"
import { join } from "node:path"
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import type { Connection } from "../../src/domain/Messages.js"
import { built, spawned } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TEST_CERT, TEST_KEY } from "../support/testCertificate.js"
import { afterwards, cleanUp, launch, logOf, temporaryFolder, until } from "./instanceProcess.js"

const TOKEN = "a-token-of-the-fleet"
const ANOTHER = "another-secret-than-theirs"
const UP = /^websocketmanager is up: http (https:\S+) {2}grpc \S+ {2}\(instance \S+\)\n/m

let peer: ScriptedServer
/** What every instance of the fleet is started with, and who calls it. */
let common: Readonly<Record<string, string>>

beforeAll(built, 120_000)
beforeEach(async () => {
  peer = await ScriptedServer.start()
  afterwards(() => peer.stop())
  peer.echo()
  const folder = temporaryFolder()
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")]
  writeFileSync(cert, TEST_CERT)
  writeFileSync(key, TEST_KEY)
  common = {
    WSM_DATA_DIR: folder,
    WSM_TLS_CERT: cert,
    WSM_TLS_KEY: key,
    WSM_API_TOKEN: TOKEN,
    NODE_EXTRA_CA_CERTS: cert,
    WSM_HEARTBEAT_INTERVAL: "500 millis",
    WSM_HEARTBEAT_TTL: "20 seconds"
  }
})
afterEach(cleanUp)

const isReady = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    const asked = request(`${url}/health/ready`, { ca: TEST_CERT }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    asked.on("error", () => resolve(false))
    asked.end()
  })

const serve = async (id: string, env: Readonly<Record<string, string>> = {}) => {
  const process = await launch({ ...common, WSM_INSTANCE_ID: id, ...env })
  const [, url = ""] = await process.line(UP)
  await until(() => isReady(url), `${id} is ready`)
  const wsm = (...argv: ReadonlyArray<string>) => spawned([...argv, "--server", url], { ...common, ...env })
  return {
    url,
    log: () => logOf(process).map(({ message }) => message),
    wsm,
    /** What the command printed, as JSON. */
    json: async <A>(...argv: ReadonlyArray<string>): Promise<A> => {
      const { err, out, status } = await wsm(...argv, "--json")
      if (status !== 0) throw new Error(`wsm ${argv.join(" ")}: ${err}`)
      return JSON.parse(out) as A
    }
  }
}

type Served = Awaited<ReturnType<typeof serve>>

const connectAt = async (owner: Served): Promise<string> =>
  (await owner.json<{ connection: Connection }>("connect", peer.url)).connection.id

describe("instances with a certificate and a token", { timeout: 120_000 }, () => {
  it("answer for each other: a Send, a StartPublish, a List and a Migrate", async () => {
    const [a, b] = await Promise.all([serve("a"), serve("b")])
    const id = await connectAt(a)
    expect(await b.json("send", id, '{"id":7,"say":"hello"}')).toMatchObject({ text: '{"id":7,"say":"hello"}' })
    expect((await b.wsm("publish", id, "ticks")).status).toBe(0)
    const { connections } = await b.json<{ connections: ReadonlyArray<Connection> }>("ls")
    expect(connections).toMatchObject([{ id, instanceId: "a", framesSent: 1, topic: "ticks" }])
    const moved = await b.json<{ connection: Connection }>("migrate", id, "b")
    expect(moved.connection).toMatchObject({ id, instanceId: "b", status: "CONNECTION_STATUS_CONNECTED" })
    for (const { log } of [a, b]) expect(log().filter((line) => line.includes("cannot be spoken to"))).toEqual([])
  })

  it("say what to set where the secret is another, or the certificate is not vouched for", async () => {
    const [a, b, c] = await Promise.all([
      serve("a"),
      serve("b", { WSM_PEER_SECRET: ANOTHER }),
      serve("c", { NODE_EXTRA_CA_CERTS: "" })
    ])
    const said = (by: Served, whom: Served, what: string) => () =>
      by.log().filter((line) => line.startsWith(`the instance at ${whom.url} cannot`) && line.includes(what)).length > 0
    await until(said(b, a, "WSM_PEER_SECRET must be the same on all instances"), "b names the secret")
    await until(said(c, a, "name its authority in NODE_EXTRA_CA_CERTS"), "c names the certificate")
    const id = await connectAt(a)
    const { err } = await b.wsm("send", id, '{"id":7}')
    expect(err).toMatch(/^wsm: OwnerUnreachable: instance a, /)
    const lines = b.log().filter((line) => line.includes("cannot be spoken to"))
    expect(lines.length, "once, not at each heartbeat").toBe(new Set(lines).size)
    expect((await c.wsm("ls")).err).toMatch(
      /^wsm: the certificate of https:\S+ is not accepted \(\w+\): name its authority in NODE_EXTRA_CA_CERTS/
    )
    const logs = JSON.stringify([a, b, c].map(({ log }) => log()))
    for (const secret of [TOKEN, ANOTHER]) expect(logs).not.toContain(secret)
  })
})
