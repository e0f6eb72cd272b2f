/** Secrets of a real process: used anew at each dial, and found nowhere else. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeAll, expect, it } from "vitest"
import { built } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, Instance, temporaryFolder, until } from "./instanceProcess.js"

const OF_VARIABLE = "value-of-the-variable-4711"
const OF_FILE = "value-of-the-file-0815"
const OF_FILE_LATER = "value-of-the-file-rotated-0816"
const LITERAL = "literal-of-a-header-1234"
const QUERY = "literal-of-the-query-5678"

beforeAll(built, 120_000)
afterEach(cleanUp)

it(
  "reach the peer at each dial, changed ones too, and appear in no log, event, list, metric or file",
  {
    timeout: 40_000
  },
  async () => {
    const server = await ScriptedServer.start()
    afterwards(() => server.stop())
    const dir = temporaryFolder()
    const data = temporaryFolder()
    writeFileSync(join(dir, "feed.key"), `${OF_FILE}\n`)
    const instance = await Instance.start({
      WSM_DATA_DIR: data,
      WSM_INSTANCE_ID: "one",
      WSM_SECRETS_DIR: dir,
      WSM_SECRET_VALUE_API_TOKEN: OF_VARIABLE
    })
    const events = await instance.watch()
    const lifecycle = await instance.topic("websocketmanager.lifecycle")
    const answers: Array<unknown> = []
    server.onOpen = (peer) => peer.send("ready")
    const connection = await instance.connect({
      url: `${server.url}/feed?token=${QUERY}&symbol=shown`,
      headers: { "x-api": "secret:api-token", authorization: "Bearer ${secret:feed.key}", "x-own": LITERAL },
      handshake: [{ expect: { timeoutMs: 5000 } }, { sendText: Buffer.from('{"login":"${secret:feed.key}"}') }],
      reconnect: { baseDelayMs: 20, maxDelayMs: 40 },
      topic: "t"
    })
    answers.push(connection)
    const { id } = connection
    const sent = () => {
      const { frames, headers, url } = server.last
      return [url, headers["x-api"], headers["authorization"], headers["x-own"], frames[0]?.data.toString()]
    }
    const url = `/feed?token=${QUERY}&symbol=shown`
    await server.until(() => server.last.frames.length === 1)
    expect(sent()).toEqual([url, OF_VARIABLE, `Bearer ${OF_FILE}`, LITERAL, `{"login":"${OF_FILE}"}`])

    writeFileSync(join(dir, "feed.key"), OF_FILE_LATER)
    server.last.cut()
    await server.until(() => server.peers.length === 2 && server.last.frames.length === 1)
    expect(sent()).toEqual([url, OF_VARIABLE, `Bearer ${OF_FILE_LATER}`, LITERAL, `{"login":"${OF_FILE_LATER}"}`])

    const missing = await instance.refused((client) =>
      client.Connect({ url: server.url, headers: { "x-api": "secret:nobody" } })
    )
    expect(missing).toMatchObject({ _tag: "DialFailed", kind: "secret" })
    expect(JSON.stringify(missing)).toContain("nobody")
    const refused = await instance.refused((client) => client.Connect({ url: `ws://127.0.0.1:1/?token=${QUERY}` }))
    answers.push(missing, refused, String(refused), await instance.get(id), await instance.list())
    answers.push(await instance.call((client) => client.ListInstances({})))
    for (const path of ["/metrics", "/health"]) answers.push(await (await fetch(`${instance.url}${path}`)).text())
    await until(() => events.some((event) => event.type === "gap"), "the gap")
    await until(() => lifecycle.some((event) => event["type"] === "websocketmanager.gap"), "the gap on its topic")
    expect(connection.url).toBe(`${server.url}/feed?token=***&symbol=shown`)

    expect(await instance.end("SIGTERM")).toMatchObject({ status: 0 })
    const files = readdirSync(data).map((name) => readFileSync(join(data, name)).toString("latin1"))
    expect(files.join("")).toContain("${secret:feed.key}")
    const shown = JSON.stringify([answers, events, lifecycle, instance.process.output])
    expect(shown).toContain("connected")
    for (const secret of [OF_VARIABLE, OF_FILE, OF_FILE_LATER]) {
      expect(shown.includes(secret), secret).toBe(false)
      expect(
        files.some((bytes) => bytes.includes(secret)),
        secret
      ).toBe(false)
    }
    // literal values are stored as given, and never shown
    for (const literal of [LITERAL, QUERY]) expect(shown.includes(literal), literal).toBe(false)
  }
)
