/**
 * Packs the package, installs the tarball into an empty folder beside a small program, type-checks the program, runs it
 * against a WebSocket server, and tries the installed command. Ends with status 0 when all of it works.
 */
import { execFileSync, spawn } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { WebSocketServer } from "ws"

const here = import.meta.dirname
const root = resolve(here, "../..")
const folder = mkdtempSync(join(tmpdir(), "wsm-consumer-"))
const quiet = { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }
const say = (text) => process.stdout.write(`${text}\n`)
const must = (holds, what) => {
  if (!holds) throw new Error(what)
  say(`  ${what}`)
}

const run = (command, args) =>
  new Promise((done, failed) => {
    const child = spawn(command, args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    child.stdout.on("data", (text) => (output += text))
    child.on("error", failed)
    child.on("exit", (status) => (status === 0 ? done(output) : failed(new Error(`${command} ended with ${status}`))))
  })

const server = new WebSocketServer({ host: "127.0.0.1", port: 0 })
let tick = 0
const ticking = setInterval(() => server.clients.forEach((client) => client.send(String(++tick))), 20)
try {
  say("packing")
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--silent", "--pack-destination", folder], { ...quiet, cwd: root })
  )
  const files = packed.files.map(({ path }) => path)
  must(
    !files.some((path) => path.startsWith("test/") || path.startsWith("src/")),
    "the package has no tests and no sources"
  )
  must(files.includes("dist/index.js") && files.includes("dist/index.d.ts"), "the package has its code and its types")

  say("installing the tarball into an empty folder")
  for (const file of ["package.json", "tsconfig.json", "main.ts", "store.ts"])
    cpSync(join(here, file), join(folder, file))
  cpSync(join(root, ".npmrc"), join(folder, ".npmrc"))
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--silent", join(folder, packed.filename)], quiet)

  say("checking and running the program")
  await run("npx", ["tsc", "-p", "."])
  const output = await run("node", ["out/main.js", `ws://127.0.0.1:${server.address().port}`])
  const [, ...numbers] = /^frames (\d+) (\d+) (\d+)$/m.exec(output) ?? []
  const [first, ...rest] = numbers.map(Number)
  must(rest[0] === first + 1 && rest[1] === first + 2, "the program gets its frames through a manager on its own store")
  const lines = readFileSync(join(here, "main.ts"), "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "").length
  must(lines <= 15, `the program has ${lines} lines`)
  const version = await run("npx", ["wsm", "--version"])
  must(version.trim() === packed.version, "the command wsm is installed")
} finally {
  clearInterval(ticking)
  server.close()
  for (const client of server.clients) client.terminate()
  rmSync(folder, { recursive: true, force: true })
}
