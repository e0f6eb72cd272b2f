/** `npm run bench`: what `USAGE` says. */
import { cpus } from "node:os"
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import { backpressure } from "./figures/backpressure.mjs"
import { latency } from "./figures/latency.mjs"
import { memory } from "./figures/memory.mjs"
import { operations } from "./figures/operations.mjs"
import { publish, publishPacked } from "./figures/publish.mjs"
import { receive } from "./figures/receive.mjs"
import { send } from "./figures/send.mjs"
import { sparse } from "./figures/sparse.mjs"
import { start } from "./lib/child.mjs"
import { lack, startDapr } from "./lib/dapr.mjs"
import { startServer } from "./lib/server.mjs"
import { table } from "./lib/stats.mjs"

const USAGE = `npm run bench -- [flags]: each figure against its bare counterpart in the same run, the median of alternating rounds

  --json      the results as JSON on standard output, progress on standard error
  --short     fewer and shorter rounds, under ten minutes in all
  --assert    exit 1 when a figure misses its bound; short runs are noisy, so there a timed one may miss it by 15 %
              (without it too where frames were missing or out of order, or, with WSM_REQUIRE_ALL=1, a figure is left out)
  --only N    only figure N, may be repeated: 1 receive, 2 sparse, 3 memory, 4 send, 5 back-pressure; and through a Dapr
              sidecar onto Redis: 6 one connection, 7 many connections, 8 one connection packed, 9 latency,
              10 state operations
  --dist DIR  the built product to measure; default dist`

const { values: flags } = parseArgs({
  options: {
    help: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    short: { type: "boolean", default: false },
    assert: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    dist: { type: "string", default: resolve(import.meta.dirname, "../../dist") }
  }
})
if (flags.help) {
  process.stdout.write(`${USAGE}\n`)
  process.exit(0)
}
const dist = resolve(flags.dist)
const SLACK = flags.short ? 0.15 : 0

/** @type {Array<() => Promise<void>>} */
const running = []
const tracked = (started) => {
  running.push(started.stop)
  return started
}
// Servers do not end with us by themselves.
const stopAll = () => Promise.all(running.splice(0).map((stop) => stop()))
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void stopAll().then(() => process.exit(1)))

const peer = tracked(await start(new URL("peer.mjs", import.meta.url)))
const { port, echoPort } = await peer.call("address")

/**
 * What a figure works with.
 *
 * @typedef {typeof bench} Bench
 */
const bench = {
  peer,
  /** by how much a timed figure may miss its bound */
  slack: SLACK,
  /** rounds that count */
  rounds: flags.short ? 3 : 7,
  roundMs: flags.short ? 700 : 1500,
  warmMs: flags.short ? 3000 : 8000,
  memoryRounds: flags.short ? 1 : 3,
  /** how long the bus stops */
  stopMs: flags.short ? 3000 : 6000,
  say: (/** @type {string} */ line) => process.stderr.write(`  ${line}\n`),
  url: (/** @type {string} */ group) => `ws://127.0.0.1:${port}/${group}`,
  echoUrl: `ws://127.0.0.1:${echoPort}/`,
  worker: async (/** @type {string} */ name, /** @type {ReadonlyArray<string>} */ args = []) =>
    tracked(await start(new URL(`workers/${name}.mjs`, import.meta.url), [dist, ...args])),
  server: async () => tracked(await startServer(dist)),
  dapr: async () => tracked(await startDapr())
}

const FIGURES = [
  { number: 1, run: async () => [...(await receive(bench, 1, 0.7)), ...(await receive(bench, 100, 0.6))] },
  { number: 2, run: () => sparse(bench) },
  { number: 3, run: () => memory(bench) },
  { number: 4, run: () => send(bench) },
  { number: 5, run: () => backpressure(bench) },
  {
    number: 6,
    dapr: true,
    run: async () => [
      await publish(bench, { figure: 6, name: "Dapr, 1 connection", way: "single", sockets: 1, frames: 3000 })
    ]
  },
  {
    number: 7,
    dapr: true,
    run: async () => [
      await publish(bench, { figure: 7, name: "Dapr, 200 connections", way: "bulk", sockets: 200, frames: 30_000 })
    ]
  },
  { number: 8, dapr: true, run: async () => [await publishPacked(bench)] },
  { number: 9, dapr: true, run: () => latency(bench) },
  { number: 10, dapr: true, run: () => operations(bench) }
]

const verdict = ({ bound, exact = true, holds, timed, value }) => {
  if (!exact || !holds) return "MISSED"
  if (bound === undefined) return ""
  const slack = timed ? SLACK : 0
  const { atLeast = 0, atMost = Infinity } = bound
  if (value >= atLeast && value <= atMost) return "ok"
  return value >= atLeast * (1 - slack) && value <= atMost * (1 + slack) ? "ok, within noise" : "MISSED"
}
const boundText = ({ aim, bound }) => {
  if (bound === undefined) return "none"
  const text = bound.atLeast === undefined ? `at most ${bound.atMost}` : `at least ${bound.atLeast}`
  return aim === undefined ? text : `${text}, aim ${aim}`
}

const results = []
/** Frames missing or out of order, or a figure that had to be measured and was not: no machine is too slow for that. */
let broken = false
try {
  const wanted = FIGURES.filter(({ number }) => flags.only.length === 0 || flags.only.includes(String(number)))
  const lacking = wanted.some((figure) => figure.dapr) ? lack() : undefined
  if (lacking !== undefined) {
    bench.say(`the figures of Dapr are left out: ${lacking}`)
    broken = process.env["WSM_REQUIRE_ALL"] === "1"
  }
  for (const { dapr = false, run } of wanted) {
    if (dapr && lacking !== undefined) continue
    for (const result of await run()) results.push({ ...result, verdict: verdict(result) })
  }
} finally {
  await stopAll()
}

if (flags.json) {
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cpus: cpus().length }
  process.stdout.write(`${JSON.stringify({ machine, short: flags.short, slack: SLACK, figures: results }, null, 2)}\n`)
} else {
  if (results.length === 0) bench.say("nothing was measured")
  const rows = results.map((r) => [
    `${r.figure}`,
    r.name,
    `${r.bare}`,
    `${r.managed}`,
    r.unit,
    `${r.value} ${r.what}`,
    boundText(r),
    r.verdict,
    r.notes.join(" ")
  ])
  process.stdout.write(
    `\n${table([["", "figure", "bare", "ours", "unit", "result", "bound", "", "notes"], ...rows])}\n`
  )
}
broken ||= results.some(({ exact }) => exact === false)
if (broken || (flags.assert && results.some((result) => result.verdict === "MISSED"))) process.exitCode = 1
