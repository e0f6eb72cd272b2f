/**
 * Builds the sidecar of this folder, once for the state its sources are in, and prints where it is.
 *
 *   node test/daprd/build.mjs             the path on standard output, progress on standard error
 *   node test/daprd/build.mjs --cached    the path only if nothing has to be built; otherwise status 1
 *
 * `DAPRD=/path/to/daprd` is taken instead, as it is. The cache lies outside the project, so that `npm ci` leaves it alone.
 * Two builders at a time build side by side and the first one to finish wins: a rename is atomic.
 */
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

const FOLDER = import.meta.dirname
const SOURCES = ["main.go", "go.mod", "go.sum"]
const PROGRESS_MS = 15_000
const say = (line) => process.stderr.write(`daprd: ${line}\n`)

const required = (path) => /^\tgithub\.com\/dapr\/dapr v(\S+)$/m.exec(readFileSync(path, "utf8"))?.[1]
const version = required(join(FOLDER, "go.mod"))
const flags = ["-trimpath", `-ldflags=-s -w -X github.com/dapr/dapr/pkg/buildinfo.version=${version}`]

const place = () => {
  const hash = createHash("sha256").update(flags.join(" ")).update(`${process.platform} ${process.arch}`)
  for (const name of SOURCES)
    hash
      .update(name)
      .update("\0")
      .update(readFileSync(join(FOLDER, name)))
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache")
  return join(cache, "websocketmanager", `daprd-${hash.digest("hex").slice(0, 16)}`, "daprd")
}

const fail = (message) => {
  say(message)
  process.exit(1)
}

// The place of Go's own installer, where it is not on the path.
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/local/go/bin`, CGO_ENABLED: "0" }

const build = async (path) => {
  const go = spawnSync("go", ["version"], { env, encoding: "utf8" })
  if (go.status !== 0)
    fail(
      "go is not installed, and it is needed to build a sidecar: install Go 1.26 or newer, or set DAPRD=/path/to/daprd"
    )
  const since = Date.now()
  const seconds = () => Math.round((Date.now() - since) / 1000)
  say(`building ${version} with ${go.stdout.trim()}; a first time takes minutes (about 1 GB of modules)`)
  const draft = `${path}.${process.pid}`
  mkdirSync(join(path, ".."), { recursive: true })
  const child = spawn("go", ["build", ...flags, "-o", draft, "."], {
    cwd: FOLDER,
    env,
    stdio: ["ignore", "pipe", "pipe"]
  })
  let last = ""
  let errors = ""
  const progress = setInterval(() => say(`${seconds()} s${last && `, ${last}`}`), PROGRESS_MS)
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      for (const line of text.split("\n").filter(Boolean)) {
        if (line.startsWith("go: downloading")) last = line.slice(4)
        else errors += `${line}\n`
      }
    })
  }
  const status = await new Promise((resolve) => child.on("close", resolve))
  clearInterval(progress)
  if (status !== 0) fail(`go build ended with status ${status}:\n${errors}`)
  renameSync(draft, path)
  say(`built in ${seconds()} s`)
}

const chosen = process.env.DAPRD
if (chosen && !existsSync(chosen)) fail(`DAPRD=${chosen}: no such file`)
const path = chosen || place()
if (!existsSync(path)) {
  if (process.argv.includes("--cached")) process.exit(1)
  await build(path)
}
process.stdout.write(`${path}\n`)
