/** Who calls an instance does not choose where its secrets go: a real process, and servers that tell what they were sent. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeAll, describe, expect, it } from "vitest"
import { built } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, Instance, launch, temporaryFolder } from "./instanceProcess.js"

const VALUE = "value-of-the-secret-4711"

beforeAll(built, 120_000)
afterEach(cleanUp)

const stranger = async (): Promise<ScriptedServer> => {
  const server = await ScriptedServer.start()
  afterwards(() => server.stop())
  return server
}

it(
  "a listed secret reaches its own target and no other, by whatever spelling it is asked for",
  { timeout: 40_000 },
  async () => {
    const [own, other] = [await stranger(), await stranger()]
    const dir = temporaryFolder()
    writeFileSync(join(dir, "of.file"), VALUE)
    const instance = await Instance.start({
      WSM_DATA_DIR: "",
      WSM_SECRETS_DIR: dir,
      WSM_SECRET_VALUE_FEED_TOKEN: VALUE,
      WSM_SECRET_VALUE_UNLISTED: VALUE,
      WSM_SECRET_HOSTS: `feed-token=wss://feed.example,${own.url}; OF-FILE=${own.url}`
    })
    const uses = (url: string, name: string) => [
      { url, headers: { "x-a": `secret:${name}` } },
      { url: `${url}/?leak=\${secret:${name}}` },
      { url, subprotocols: [`\${secret:${name}}`] },
      { url, handshake: [{ sendText: Buffer.from(`\${secret:${name}}`) }] },
      { url, keepAlive: { pingIntervalMs: 1000, pingMessage: Buffer.from(`\${secret:${name}}`) } }
    ]
    const FEED = ["feed-token", "FEED-TOKEN", "feed_token", "feed.token", "FEED_TOKEN", "Feed.Token"]
    for (const name of [...FEED, "of.file", "OF_FILE", "of-file", "unlisted", "UNLISTED"]) {
      for (const use of uses(other.url, name)) {
        const refused = await instance.refused((client) => client.Connect({ ...use, awaitOpen: false }))
        expect(refused, name).toMatchObject({ _tag: "TargetForbidden", host: "127.0.0.1" })
      }
    }
    expect(other.openings).toEqual([])
    for (const name of [...FEED, "of.file", "OF_FILE"]) {
      await instance.connect({ url: own.url, headers: { "x-a": `secret:${name}` } })
      expect(own.last.headers["x-a"]).toBe(VALUE)
    }
  }
)

describe("a start", () => {
  const refusal = async (env: Readonly<Record<string, string>>): Promise<string> => {
    const { ended, output } = await launch({ WSM_DATA_DIR: "", WSM_LOG_LEVEL: "warning", ...env })
    expect(await ended).toMatchObject({ status: 1 })
    const lines = output.err
      .trimEnd()
      .split("\n")
      .filter((line) => !line.startsWith("wsm: warning: "))
    expect(lines.length, output.err).toBe(1)
    return lines[0]!
  }
  const beyond = { WSM_HOST: "0.0.0.0", WSM_API_TOKEN: "a-token-that-is-long" }

  it(
    "beyond loopback with secrets and no list is refused, and one with a list is not",
    { timeout: 60_000 },
    async () => {
      const lines = await Promise.all([
        refusal({ ...beyond, WSM_SECRET_VALUE_FEED: VALUE }),
        refusal({ ...beyond, WSM_SECRETS_DIR: temporaryFolder() }),
        refusal({ ...beyond, WSM_API_TOKEN: "", WSM_INSECURE: "true", WSM_SECRET_VALUE_FEED: VALUE }),
        refusal({ ...beyond, WSM_BACKING: "dapr", WSM_SECRET_STORE: "vault" })
      ])
      for (const line of lines) {
        expect(line).toMatch(/^wsm: WSM_HOST=0\.0\.0\.0 is refused: it must be loopback, or WSM_SECRET_HOSTS say/)
        expect(line).not.toContain(VALUE)
      }
      const ports = { WSM_HTTP_PORT: "0", WSM_GRPC_PORT: "0" }
      const process = await launch({ ...beyond, ...ports, WSM_DATA_DIR: "", WSM_SECRET_VALUE_FEED: VALUE, WSM_SECRET_HOSTS: "*=*" }) // prettier-ignore
      await process.line(/websocketmanager is up/)
    }
  )

  it("with two names of one secret is refused: in the list, of files, of variables", { timeout: 60_000 }, async () => {
    const dir = temporaryFolder()
    for (const name of ["feed.token", "FEED-TOKEN"]) writeFileSync(join(dir, name), VALUE)
    const [listed, files, variables] = await Promise.all([
      refusal({ WSM_SECRET_HOSTS: "feed-token=a; FEED_TOKEN=b" }),
      refusal({ WSM_SECRETS_DIR: dir }),
      refusal({ WSM_SECRET_VALUE_FEED: VALUE, WSM_SECRET_VALUE_feed: "other" })
    ])
    expect(listed).toContain("feed-token and FEED_TOKEN are one secret")
    expect(files).toMatch(
      /^wsm: WSM_SECRETS_DIR=.* the files (feed\.token and FEED-TOKEN|FEED-TOKEN and feed\.token) are one/
    )
    expect(variables).toMatch(/^wsm: WSM_SECRET_VALUE_(feed|FEED)=\*\*\* is refused: it must be given once/)
    expect(variables).not.toContain(VALUE)
  })
})
