/** Figure 10: what connections, frames and heartbeats cost the state store, as the sidecar counts it. */
import { fixed, sleep } from "../lib/stats.mjs"

const CONNECTS = 20
const FRAMES = 1000
const BEATS = 5
/** A status is written behind within this. */
const BEHIND_MS = 6000

/** @param {import("../main.mjs").Bench} bench */
export const operations = async (bench) => {
  const quiet = await counted(bench, 60, async ({ dapr, spent, worker }) => {
    const rows = []
    for (const requestIds of [false, true]) {
      const topic = `operations-${requestIds}`
      // One after the other and not together: calls at one time share the write of a page.
      const cost = await spent(async () => {
        for (let i = 0; i < CONNECTS; i++) {
          const of = `${topic}-${i}`
          await worker.call("connect", { url: bench.url(topic), count: 1, topic: of, requestIds })
        }
        await sleep(BEHIND_MS)
      })
      rows.push({ name: requestIds ? "connect, request_id" : "connect", ...each(cost, CONNECTS), atMost: [3, 4] })
    }
    let arrived = 0
    const cost = await spent(async () => {
      await bench.peer.call("send", { group: "operations-true", frames: FRAMES })
      for (let looks = 0; arrived < FRAMES && looks < 100; looks++) {
        await sleep(100)
        arrived = 0
        for (let i = 0; i < CONNECTS; i++) arrived += await dapr.redis.command("XLEN", `operations-true-${i}`)
      }
    })
    rows.push({ name: "frame", ...each(cost, FRAMES), atMost: [0, 0], exact: arrived === FRAMES })
    return rows
  })
  const beating = await counted(bench, 1, async ({ spent }) => {
    const cost = await spent(() => sleep(BEATS * 1000))
    // One more may begin within the time.
    return [{ name: "heartbeat", ...each(cost, BEATS), atMost: [1 + 1 / BEATS, Infinity] }]
  })
  return [...quiet, ...beating].map(({ atMost: [writes, reads], exact = true, ...row }) => ({
    figure: 10,
    name: `Dapr, state operations, ${row.name}`,
    unit: "writes each",
    bare: 0,
    managed: row.writes,
    value: row.writes,
    what: "writes",
    bound: { atMost: writes },
    timed: false,
    exact,
    holds: row.reads <= reads,
    notes: [`${row.reads} reads${reads === Infinity ? "" : `, at most ${reads}`}`, ...(exact ? [] : ["NOT EXACT"])]
  }))
}

const each = ({ reads, writes }, count) => ({ writes: fixed(writes / count), reads: fixed(reads / count) })

/** With a manager whose heart beats so seldom, on a store of its own. */
const counted = async (bench, heartbeatSeconds, measure) => {
  const dapr = await bench.dapr()
  const worker = await bench.worker("managedDapr", [JSON.stringify({ ...dapr.address, heartbeatSeconds })])
  await sleep(1000)
  const spent = async (work) => {
    const before = await dapr.stateOperations()
    await work()
    const after = await dapr.stateOperations()
    const of = (...names) => names.reduce((sum, name) => sum + (after[name] ?? 0) - (before[name] ?? 0), 0)
    return { writes: of("set", "delete", "bulk_delete", "transaction"), reads: of("get", "bulk_get") }
  }
  const rows = await measure({ dapr, spent, worker })
  await worker.stop()
  await dapr.stop()
  return rows
}
