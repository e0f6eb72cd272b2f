/** What a fleet that has nothing to do costs its store, as the instances count it; the number of connections plays no part. */
import { fixed, sleep } from "../lib/stats.mjs"
import { THIRDS } from "./bench.mjs"

const WHILE_MS = 20_000
/** Status writes come up to five seconds behind. */
const BEHIND_MS = 7000
const INTERVAL_SECONDS = 2

/** @param {import("./bench.mjs").Bench} bench @param {number} instances 300 connections are made by the first three of them */
export const idle = (bench, instances) => {
  const connections = Array.from({ length: instances }, (_, i) => THIRDS[i] ?? 0)
  return bench.withFleet({ connections, daprd: false }, async ({ fleet }) => {
    await sleep(BEHIND_MS)
    const before = await fleet.stateOperations()
    const began = Date.now()
    await sleep(WHILE_MS)
    const after = await fleet.stateOperations()
    const elapsed = (Date.now() - began) / 1000
    const rates = Object.entries(after).map(([kind, count]) => [kind, fixed((count - (before[kind] ?? 0)) / elapsed)])
    const sum = rates.reduce((total, [, rate]) => total + Number(rate), 0)
    const shown = rates.map(([kind, rate]) => `${kind} ${rate}`).join(", ")
    // 1 write + 1 bulk read, each interval
    const expected = (instances / INTERVAL_SECONDS) * 2
    const name = `state operations per second, ${instances} idle with 300 connections`
    bench.add(name, `${fixed(sum)} (${shown})`, String(expected), sum <= expected * 1.1)
  })
}
