/** `wsm` as a process: what it loads, how it ends. */
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { beforeAll, describe, expect, it, vi } from "vitest"
import { built, spawned, start } from "./runWsm.js"

const NOWHERE = { WSM_SERVER: "http://127.0.0.1:1" }

/** Runs `wsm` with a hook that notes every file it loads. */
const loadedBy = async (argv: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const folder = mkdtempSync(join(tmpdir(), "wsm-loads-"))
  const file = join(folder, "loads")
  writeFileSync(
    join(folder, "hook.mjs"),
    `import { appendFileSync } from "node:fs"
     export const load = (url, context, next) => (appendFileSync(${JSON.stringify(file)}, url + "\\n"), next(url, context))`
  )
  writeFileSync(
    join(folder, "register.mjs"),
    `import { register } from "node:module"; register("./hook.mjs", import.meta.url)`
  )
  try {
    await spawned(argv, { ...NOWHERE, NODE_OPTIONS: `--import ${join(folder, "register.mjs")}` })
    return readFileSync(file, "utf8").split("\n")
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

// processes that start while other tests have the cores
vi.setConfig({ testTimeout: 60_000 })
beforeAll(built, 60_000)

describe("the process wsm", () => {
  it("--version prints the version of the package, and loads no library for it", async () => {
    const { out, status } = await spawned(["--version"])
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"))
    expect([status, out]).toEqual([0, `${version}\n`])
    expect((await loadedBy(["--version"])).filter((url) => url.includes("/node_modules/effect/"))).toEqual([])
  })

  it("a command that calls a manager loads neither gRPC, nor the store, nor the server, nor a whole package", async () => {
    const loaded = await loadedBy(["ls"])
    expect(loaded.some((url) => url.endsWith("/rpc/Client.js"))).toBe(true)
    const unwanted =
      /grpc|libsql|\/app\/|\/adapters\/|\/manager\/(?!Operations\.js)|\/api\/http\/|node_modules\/(effect|@effect\/[a-z-]+)\/dist\/esm\/index\.js$/
    expect(loaded.filter((url) => unwanted.test(url))).toEqual([])
  })

  it("ends with 2 for what it cannot read and with 1 where no manager answers", async () => {
    const [usage, nobody] = await Promise.all([spawned(["ls", "--nonsense"]), spawned(["ls"], NOWHERE)])
    expect([usage!.status, usage!.out]).toEqual([2, ""])
    expect(usage!.err).toMatch(/^wsm: 'wsm ls' has no option '--nonsense'[^\n]*\n$/)
    expect([nobody!.status, nobody!.out]).toEqual([1, ""])
    expect(nobody!.err).toMatch(/^wsm: no manager at [^\n]*\n$/)
  })

  it("a reader that goes away ends it quietly", async () => {
    const { child, ended, output } = await start(["serve", "--help"])
    child.stdout.destroy()
    expect(await ended).toEqual({ status: 0, signal: null })
    expect(output.err).toBe("")
  })

  it.each([["SIGINT"], ["SIGTERM"]] as const)("the feed says how to go on, and ends with 0 on %s", async (signal) => {
    const { child, ended, line, output } = await start(["feed", "--port", "0"])
    await line(/^feed is up: (ws:\/\/127\.0\.0\.1:\d+) .*\nthen: {2}npx wsm connect \1 --topic demo /)
    child.kill(signal)
    expect(await ended).toEqual({ status: 0, signal: null })
    expect(output.err).toBe("")
  })

  it("a command that is interrupted before it is done ends with the signal's status", async () => {
    const silent = createServer().listen(0, "127.0.0.1")
    const dialled = once(silent, "connection")
    try {
      await once(silent, "listening")
      const { port } = silent.address() as AddressInfo
      const { child, ended, output } = await start(["ls"], { WSM_SERVER: `http://127.0.0.1:${port}` })
      await dialled
      child.kill("SIGINT")
      expect(await ended).toEqual({ status: 130, signal: null })
      expect(output).toEqual({ out: "", err: "" })
    } finally {
      silent.close()
    }
  })

  it("a rejection that nobody handled is told and fatal", async () => {
    const lost = "process.once('newListener', () => setTimeout(() => Promise.reject(Error('lost')), 100))"
    const hook = `--import data:text/javascript,${encodeURIComponent(lost)}`
    const { err, status } = await spawned(["feed", "--port", "0"], { NODE_OPTIONS: hook })
    expect(status).toBe(1)
    expect(err).toMatch(/^wsm: a rejection that nobody handled: Error: lost\n/)
  })

  it("a command that cannot end after a signal is ended by force, and says so", async () => {
    const stuck = "import { Server } from 'node:http'; Server.prototype.close = function () { return this }"
    const hook = `--import data:text/javascript,${encodeURIComponent(stuck)}`
    const { child, ended, line, output } = await start(["feed", "--port", "0"], { NODE_OPTIONS: hook })
    await line(/^feed is up/)
    child.kill("SIGTERM")
    expect(await ended).toEqual({ status: 1, signal: null })
    expect(output.err).toBe("wsm: ended by force: not done 2000 ms after SIGTERM\n")
  })
})
