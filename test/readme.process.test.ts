/** The README is true: every block of it is run as it stands, only the ports and the name of the command are filled in. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { settingsTable } from "../src/config/Table.js"
import { type Block, blocks, README, WITH_DAPR } from "./support/Readme.js"
import { builtDist } from "./support/built.js"

const ROOT = resolve(import.meta.dirname, "..")
const run = promisify(execFile)
const readme = readFileSync(README, "utf8")

/** Shown by `.ci/run`, which starts from a clean clone. */
const BY_CI = new Set(["npm ci && npm start", "npm ci && npm test", "npm run check"])
/** Commands that run until Ctrl-C. */
const ENDLESS = /^(subscribe|tail|events|feed)\b/

let place: string
let dataDir: string
let feedUrl: string
let env: NodeJS.ProcessEnv
const children: Array<ChildProcess> = []

const wsm = (line: string) => ["-c", `exec node dist/main.js ${line}`]

/** Starts an endless command and waits for its first line that matches. */
const started = (line: string, wanted: RegExp): Promise<RegExpExecArray> =>
  new Promise((done, failed) => {
    const child = spawn("bash", wsm(line), { cwd: place, env })
    children.push(child)
    let output = ""
    child.stdout.on("data", (text) => {
      output += text
      const found = wanted.exec(output)
      if (found !== null) done(found)
    })
    child.stderr.on("data", (text) => (output += text))
    child.on("exit", (status) => failed(new Error(`wsm ${line} ended with ${status}: ${output}`)))
  })

/** Runs an endless command until it says something, then Ctrl-C: it must end with 0. */
const listened = (line: string): Promise<void> =>
  new Promise((done, failed) => {
    const child = spawn("bash", wsm(line), { cwd: place, env })
    children.push(child)
    let errors = ""
    child.stdout.once("data", () => child.kill("SIGINT"))
    child.stderr.on("data", (text) => (errors += text))
    child.on("exit", (status) =>
      status === 0 ? done() : failed(new Error(`wsm ${line} ended with ${status}: ${errors}`))
    )
  })

beforeAll(async () => {
  place = dirname(await builtDist())
  dataDir = mkdtempSync(join(tmpdir(), "wsm-readme-"))
  env = { ...process.env, WSM_DATA_DIR: dataDir, WSM_LOG_LEVEL: "error" }
  const [, server, grpc] = await started("serve --http-port 0 --grpc-port 0", /http (\S+) +grpc (\S+)/)
  const feed = await started('feed --port 0 --drop-every "20 seconds"', /(ws:\/\/\S+)/)
  feedUrl = feed[1]!
  env = { ...env, WSM_SERVER: server!, WSM_GRPC: grpc! }
}, 90_000)

afterAll(() => {
  for (const child of children) child.kill("SIGKILL")
  rmSync(dataDir, { recursive: true, force: true })
})

const of = (language: string): ReadonlyArray<Block> =>
  blocks().filter((block) => block.language === language && block.section !== WITH_DAPR)
const filledIn = (text: string): string => text.replaceAll("ws://127.0.0.1:8999", feedUrl)

describe("README", () => {
  it("has only blocks that are run", () => {
    expect(new Set(blocks().map((block) => block.language))).toEqual(new Set(["sh", "ts", "js"]))
    expect(readme.match(/^```$/gm)!.length).toBe(blocks().length)
  })

  it("has the table of settings as the catalogue makes it", () => {
    expect(/<!-- settings -->\n([^]*?)\n<!-- \/settings -->/.exec(readme)![1]).toBe(settingsTable().trim())
  })

  it("its commands do what they say", { timeout: 60_000 }, async () => {
    for (const line of of("sh").flatMap((block) => block.text.trim().split("\n"))) {
      if (BY_CI.has(line)) continue
      const command = /^npx wsm (.*)$/.exec(filledIn(line))?.[1]
      expect(command, `a line that this test cannot run: ${line}`).toBeDefined()
      if (command!.startsWith("feed")) continue // it runs already
      if (ENDLESS.test(command!)) {
        // the sample connection gives lines to all but `events`, which needs something to happen
        const nudge = command === "events" ? setInterval(() => void run("bash", wsm("reconnect $ID"), { cwd: place, env }).catch(() => {}), 1500) : undefined // prettier-ignore
        await listened(command!)
        clearInterval(nudge)
        continue
      }
      const { stdout } = await run("bash", wsm(command!), { cwd: place, env })
      if (command!.startsWith("connect")) {
        const { stdout: listed } = await run("bash", wsm("ls --json"), { cwd: place, env })
        env["ID"] = /"id":"([^"]+)"/.exec(listed)![1]!
        expect(stdout).toContain(env["ID"])
      }
    }
  })

  it("its Effect programs compile and run", { timeout: 60_000 }, async () => {
    await run("bash", wsm(`connect ${feedUrl} --tag kind=sample`), { cwd: place, env })
    const programs = of("ts").map((block, i) => {
      const name = `readme-${i}`
      writeFileSync(join(place, `${name}.ts`), filledIn(block.text))
      return name
    })
    const options = ["--module", "NodeNext", "--target", "ES2023", "--strict", "--skipLibCheck", "--types", "node"]
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc")
    await run(process.execPath, [tsc, "--ignoreConfig", ...options, ...programs.map((name) => `${name}.ts`)], {
      cwd: place
    })
    const said = [/seq.*price/, /\d+:\d+/, /instance-[12] took it over/]
    for (const [i, name] of programs.entries()) {
      const { stdout } = await run(process.execPath, [`${name}.js`], { cwd: place, env })
      expect(stdout).toMatch(said[i]!)
    }
  })

  it("its gRPC client runs", { timeout: 30_000 }, async () => {
    for (const block of of("js")) {
      writeFileSync(join(place, "readme.mjs"), filledIn(block.text))
      const { stdout } = await run(process.execPath, ["readme.mjs"], { cwd: place, env })
      expect(stdout).toMatch(/a frame of \d+ bytes/)
    }
  })
})
