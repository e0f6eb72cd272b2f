/** The fuzzer: whatever others may send, in forms that nobody thought of. */
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"

const TARGETS = [
  "json",
  "paths",
  "templates",
  "topics",
  "urls",
  "msgpack",
  "events",
  "records",
  "http",
  "rpc-ws",
  "grpc",
  "feed",
  "rows"
]
const HELP = `npm run fuzz -- [flags]

  --seconds N     how long; default 60
  --seed N        the inputs of this seed again; default: a new one, which is printed
  --target A,B    only these; default all: ${TARGETS.join(" ")}
  --help

What must hold: no crash, nothing said at ERROR, no event loop that stands still for over 200 ms, no memory that stays, and of each
target that its answer is the right one. An input that breaks this is kept in test/fuzz/found; put it into test/fuzz/corpus/TARGET
once it is mended: what stands there is tried first, every time.
`
const args = process.argv.slice(2)
const value = (name, otherwise) => {
  const at = args.indexOf(`--${name}`)
  return at === -1 ? otherwise : args[at + 1]
}
const FLAGS = ["--seconds", "--seed", "--target", "--help"]
const stranger = args.find((arg, i) => (arg.startsWith("-") ? !FLAGS.includes(arg) : !FLAGS.includes(args[i - 1])))
const seconds = Number(value("seconds", "60"))
const seed = Number(value("seed", String(Math.floor(Math.random() * 2 ** 31))))
const only = value("target", "")
const wrong =
  stranger !== undefined
    ? `there is no flag ${stranger}`
    : !(seconds > 0) || !Number.isSafeInteger(seed)
      ? "--seconds and --seed take a number"
      : only !== "" && only.split(",").some((name) => !TARGETS.includes(name))
        ? `--target takes of ${TARGETS.join(" ")}`
        : undefined
if (args.includes("--help") || wrong !== undefined) {
  process.stdout.write(wrong === undefined ? HELP : `${wrong}\n\n${HELP}`)
  process.exit(wrong === undefined ? 0 : 2)
}

const FOLDER = import.meta.dirname
const found = join(FOLDER, "found")
const cache = join(FOLDER, "../../node_modules/.cache/websocketmanager-fuzz")
mkdirSync(cache, { recursive: true })
mkdirSync(found, { recursive: true })
const outfile = join(cache, "worker.mjs")
await build({
  entryPoints: [join(FOLDER, "worker.ts")],
  bundle: true,
  platform: "node",
  format: "esm",
  packages: "external",
  outfile,
  sourcemap: true,
  logLevel: "silent"
})

process.stdout.write(`fuzz: seed ${seed}, ${seconds} s\n`)
const child = spawn(
  process.execPath,
  [
    "--expose-gc",
    "--enable-source-maps",
    "--max-old-space-size=768",
    outfile,
    String(seed),
    String(seconds),
    only,
    join(FOLDER, "corpus"),
    found
  ],
  { stdio: ["ignore", "pipe", "inherit"] }
)
let findings = 0
let done = false
let shownAt = Date.now()
createInterface({ input: child.stdout }).on("line", (text) => {
  const line = JSON.parse(text)
  if (line.finding !== undefined) {
    findings++
    process.stdout.write(`FOUND in ${line.target} (${line.bytes} bytes, ${line.file}):\n  ${line.finding}\n`)
  } else if (line.done || Date.now() - shownAt > 10_000) {
    shownAt = Date.now()
    done ||= line.done === true
    const counts = Object.entries(line.ran).map(([name, n]) => `${name} ${n}`)
    process.stdout.write(`fuzz: ${done ? "done" : `${line.heapMiB} MiB`}, ${counts.join("  ")}\n`)
  }
})
// An event loop that stands still for good says nothing any more.
const grace = setTimeout(() => child.kill("SIGKILL"), (seconds + 60) * 1000)
const [code, signal] = await new Promise((resolve) => child.on("exit", (...how) => resolve(how)))
clearTimeout(grace)
if (!done) {
  findings++
  const trying = join(found, "trying")
  process.stdout.write(
    `FOUND: the process ended (${signal ?? code})${existsSync(trying) ? `; its last input: ${trying}` : ""}\n`
  )
} else rmSync(join(found, "trying"), { force: true })
process.stdout.write(`fuzz: ${findings} finding${findings === 1 ? "" : "s"}; repeat with --seed ${seed}\n`)
process.exit(findings === 0 && done ? 0 : 1)
