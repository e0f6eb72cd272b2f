/**
 * `npm run bench:failover`: what losing, freezing, cutting off and draining an instance costs its connections, by the log of
 * the server they go to. Real processes, all settings default but the dial rate.
 */
import { mkdirSync } from "node:fs"
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import { makeBench } from "./failover/bench.mjs"
import { drain, drainMany } from "./failover/drain.mjs"
import { idle } from "./failover/idle.mjs"
import { kill } from "./failover/kill.mjs"
import { many } from "./failover/many.mjs"
import { cut, freeze } from "./failover/silence.mjs"
import { lack } from "./lib/dapr.mjs"
import { lackOfNetwork } from "./lib/network.mjs"
import { table } from "./lib/stats.mjs"

const HELP = `npm run bench:failover -- [flags]

  --rounds N  rounds of kill, freeze, cut and drain; default 10
  --only F    only this figure, as often as needed: kill, freeze, cut, drain, many, idle
  --dapr      kill, freeze, drain and many through a daprd for each instance onto Redis, instead of over one data directory
              (cut, and one run of many, always are)
  --logs DIR  what the instances log (debug) is added to files in DIR, by instance
  --dist DIR  the built product to measure; default dist
  --assert    exit 1 when a figure misses its bound
  --help

Time without a socket is counted at the server, per connection. Progress on standard error, the table on standard output;
everything takes about 20 minutes.
`

const say = (/** @type {string} */ line) => process.stderr.write(`${line}\n`)
const refuse = (/** @type {string} */ why) => {
  say(`${why}\n\n${HELP}`)
  process.exit(2)
}
const parsed = () =>
  parseArgs({
    options: {
      rounds: { type: "string", default: "10" },
      only: { type: "string", multiple: true, default: [] },
      dapr: { type: "boolean", default: false },
      logs: { type: "string" },
      dist: { type: "string", default: resolve(import.meta.dirname, "../../dist") },
      assert: { type: "boolean", default: false },
      help: { type: "boolean", default: false }
    }
  }).values

let flags
try {
  flags = parsed()
} catch (error) {
  refuse(error.message)
}
if (flags.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
if (flags.logs !== undefined) mkdirSync(flags.logs, { recursive: true })
const bench = makeBench({ ...flags, dist: resolve(flags.dist), rounds: Number(flags.rounds), say })

const sidecars = flags.dapr ? [lack] : []

/** `needs`: what says what is missing for it here */
const FIGURES = [
  { name: "kill", needs: sidecars, run: () => kill(bench) },
  { name: "freeze", needs: sidecars, run: () => freeze(bench) },
  { name: "cut", needs: [lack, lackOfNetwork], run: () => cut(bench) },
  { name: "drain", needs: sidecars, run: () => drain(bench) },
  { name: "drain", needs: sidecars, run: () => drainMany(bench) },
  ...(flags.dapr ? [] : [{ name: "many", needs: [], run: () => many(bench, false) }]),
  { name: "many", needs: [lack], run: () => many(bench, true) },
  { name: "idle", needs: [], run: () => idle(bench, 3) },
  { name: "idle", needs: [], run: () => idle(bench, 3, []) },
  { name: "idle", needs: [], run: () => idle(bench, 20) }
]
const names = [...new Set(FIGURES.map(({ name }) => name))]
const unknown = flags.only.filter((name) => !names.includes(name))
if (unknown.length > 0) refuse(`no figure is called ${unknown.join(", ")}; there are ${names.join(", ")}`)
if (!(bench.rounds >= 1)) refuse(`--rounds ${flags.rounds} is no number of rounds`)

/** The other figures are measured all the same. */
const failed = (/** @type {string} */ name) => async (/** @type {Error} */ error) => {
  await bench.stop()
  bench.add(name, `failed: ${error.message}`, "to be measured", false)
}

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void bench.stop().then(() => process.exit(1)))
try {
  for (const { name, needs, run } of FIGURES) {
    if (flags.only.length > 0 && !flags.only.includes(name)) continue
    const missing = needs.map((lacking) => lacking()).find((one) => one !== undefined)
    if (missing !== undefined) say(`${name} is left out: ${missing}`)
    else await run().catch(failed(name))
  }
} finally {
  await bench.stop()
}
const rows = bench.results.map(({ name, measured, bound, holds }) => [name, measured, bound, holds ? "yes" : "NO"])
process.stdout.write(`${table([["figure", "measured", "bound", "holds"], ...rows])}\n`)
process.exit(flags.assert && bench.results.some(({ holds }) => !holds) ? 1 : 0)
