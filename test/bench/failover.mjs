/**
 * `npm run bench:failover`: how long connections are without a socket when an instance of a fleet is lost, by the log of the
 * server they go to; three processes over one data directory, all settings default but the dial rate.
 *
 *   --rounds N  rounds of each figure, default 10 (the freeze: half of them)
 *   --only F    only this figure: kill, freeze, many, idle
 *   --dist DIR  the built product to measure; default dist
 *   --assert    exit 1 when a figure misses its bound
 */
import { loadavg } from "node:os"
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import { HEADERS, outages, startCountingServer, violations } from "../support/countingServer.mjs"
import { startFleet } from "./lib/fleet.mjs"
import { fixed, quantile, sleep, table } from "./lib/stats.mjs"

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    only: { type: "string", multiple: true, default: [] },
    dist: { type: "string", default: resolve(import.meta.dirname, "../../dist") },
    assert: { type: "boolean", default: false }
  }
})
const rounds = Number(flags.rounds)
const dist = resolve(flags.dist)
const NAMES = ["i0", "i1", "i2"]
const WINDOW_MS = 5000

/** @type {Array<{ stop: () => Promise<void> }>} */
const running = []
const tracked = (started) => {
  running.push(started)
  return started
}
const stopAll = async () => {
  for (const { stop } of running.splice(0).toReversed()) await stop()
}
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void stopAll().then(() => process.exit(1)))

/** @type {Array<{ name: string, measured: string, bound: string, holds: boolean }>} */
const results = []
const add = (name, measured, bound, holds) => {
  results.push({ name, measured, bound, holds })
  const load = loadavg().map((one) => fixed(one, 1))
  process.stderr.write(`${name}: ${measured}; bound ${bound}; load average ${load.join(" ")}\n`)
}
const seconds = (millis) => `${fixed(millis / 1000)} s`
const spread = (millis) =>
  `p50 ${seconds(quantile(millis, 0.5))}, p99 ${seconds(quantile(millis, 0.99))}, max ${seconds(Math.max(...millis))} (${millis.length})`

const upAgain = async (server, ids, lost, at, withinMs) => {
  const deadline = Date.now() + withinMs
  for (;;) {
    const millis = outages(server.log, lost, at)
    if (millis.every((one) => one < Infinity) && server.up(ids) === ids.length) return millis
    if (Date.now() > deadline) throw new Error(`${ids.length - server.up(ids)} connections are not up again`)
    await sleep(20)
  }
}
const judged = (server) => {
  const found = violations(server.log)
  if (found.length > 0) throw new Error(`promise 1 is broken: ${found.slice(0, 3).join("; ")}`)
}

const withFleet = async (dialRate, connections, use) => {
  const server = tracked(await startCountingServer())
  const fleet = tracked(await startFleet(dist, NAMES, dialRate))
  const request = { url: server.url, headers: HEADERS, topic: "bench" }
  const connected = NAMES.map((name, i) => fleet.connect(name, connections[i], request))
  const ids = (await Promise.all(connected)).flat()
  await use({ server, fleet, ids })
  judged(server)
  await stopAll()
}

const kill = () =>
  withFleet(1000, [100, 100, 100], async ({ server, fleet, ids }) => {
    const all = []
    server.load(500)
    for (let round = 0; round < rounds; round++) {
      const lost = NAMES[round % NAMES.length]
      const at = Date.now()
      await fleet.kill(lost)
      all.push(...(await upAgain(server, ids, lost, at, 30_000)))
      await fleet.join(lost)
      await fleet.settled()
      await fleet.rebalance()
      await sleep(1000)
    }
    add("SIGKILL, 300 connections on 3", spread(all), "p99 1.5 s", quantile(all, 0.99) <= 1500)
  })

const freeze = () =>
  withFleet(1000, [100, 100, 100], async ({ server, fleet, ids }) => {
    const all = []
    server.load(500)
    for (let round = 0; round < Math.ceil(rounds / 2); round++) {
      const lost = NAMES[round % NAMES.length]
      const at = Date.now()
      fleet.signal(lost, "SIGSTOP")
      all.push(...(await upAgain(server, ids, lost, at, 30_000)))
      fleet.signal(lost, "SIGCONT")
      await sleep(1000)
      await fleet.settled()
      await fleet.rebalance()
      await sleep(1000)
    }
    const holds = quantile(all, 0.5) <= 8000 && quantile(all, 0.99) <= 10_000
    add("SIGSTOP, 300 connections on 3", spread(all), "p50 8 s, p99 10 s", holds)
  })

const many = () =>
  withFleet(500, [3000, 0, 0], async ({ server, fleet, ids }) => {
    await sleep(WINDOW_MS)
    const at = Date.now()
    await fleet.kill("i0")
    const millis = await upAgain(server, ids, "i0", at, 60_000)
    const opened = server.log.map(({ openedAt }) => openedAt).filter((one) => one >= at)
    const most = Math.max(...opened.map((from) => opened.filter((one) => one >= from && one < from + WINDOW_MS).length))
    add("SIGKILL of one with 3,000 of three", spread(millis), "all within 10 s", Math.max(...millis) <= 10_000)
    const rate = most / (WINDOW_MS / 1000)
    add("  dials per second in the worst 5 s", String(fixed(rate)), "1.1 × 500", rate <= 1.1 * 500)
  })

const idle = () =>
  withFleet(1000, [100, 100, 100], async ({ fleet }) => {
    const WHILE_MS = 20_000
    // Status writes come up to five seconds behind.
    await sleep(7000)
    const before = await fleet.stateOperations()
    await sleep(WHILE_MS)
    const after = await fleet.stateOperations()
    const rates = Object.entries(after).map(([kind, count]) => [
      kind,
      fixed((count - (before[kind] ?? 0)) / (WHILE_MS / 1000))
    ])
    const sum = rates.reduce((total, [, rate]) => total + Number(rate), 0)
    const shown = rates.map(([kind, rate]) => `${kind} ${rate}`).join(", ")
    // instances ÷ interval × (1 write + 1 bulk read)
    const expected = (NAMES.length / 2) * 2
    add("state operations per second, 3 idle", `${fixed(sum)} (${shown})`, String(expected), sum <= expected * 1.1)
  })

try {
  for (const [name, figure] of Object.entries({ kill, freeze, many, idle })) {
    if (flags.only.length === 0 || flags.only.includes(name)) await figure()
  }
} finally {
  await stopAll()
}
const rows = results.map(({ name, measured, bound, holds }) => [name, measured, bound, holds ? "yes" : "NO"])
process.stdout.write(`${table([["figure", "measured", "bound", "holds"], ...rows])}\n`)
process.exit(flags.assert && results.some(({ holds }) => !holds) ? 1 : 0)
