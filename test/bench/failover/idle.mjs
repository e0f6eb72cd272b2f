/** What a fleet that has nothing to do costs its store, as the instances count it; the number of connections plays no part. */
import { fixed, sleep } from "../lib/stats.mjs"
import { THIRDS } from "./bench.mjs"

const WHILE_MS = 20_000
/** Status writes come up to five seconds behind. */
const BEHIND_MS = 7000
const INTERVAL_SECONDS = 2

/**
 * @param {import("./bench.mjs").Bench} bench @param {number} instances
 * @param {ReadonlyArray<number>} made connections that each of the first ones makes
 */
export const idle = (bench, instances, made = THIRDS) => {
  const connections = Array.from({ length: instances }, (_, i) => made[i] ?? 0)
  return bench.withFleet({ connections, daprd: false }, async ({ fleet, ids }) => {
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
    const name = `state operations per second, ${instances} idle with ${ids.length} connections`
    const bound = `0.8 to 1.1 × ${expected}`
    // from below too: counting nothing is not costing nothing
    bench.add(name, `${fixed(sum)} (${shown})`, bound, sum >= expected * 0.8 && sum <= expected * 1.1)
  })
}
