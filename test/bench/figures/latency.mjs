/** Figure 9: from the peer's socket to a reader of the topic, at a steady rate, against `ws` and a publish for each frame. */
import { fixed, median, quantile } from "../lib/stats.mjs"

const RATE = 1000
const WAYS = ["bare", "managed"]
/** for the compiler */
const WARM_ROUNDS = 3

/** @param {import("../main.mjs").Bench} bench */
export const latency = async (bench) => {
  const dapr = await bench.dapr()
  const address = JSON.stringify(dapr.address)
  const workers = {
    bare: await bench.worker("bareDapr", [address]),
    managed: await bench.worker("managedDapr", [address])
  }
  const reader = await bench.worker("reader", [address])
  const topic = (who) => `latency-${who}`
  for (const who of WAYS) {
    const url = bench.url(topic(who))
    await workers[who].call("connect", { url, count: 1, topic: topic(who), way: "single" })
  }

  let missing = 0

  const round = async (who) => {
    const group = topic(who)
    const { frames: before } = await bench.peer.call("sent", { group })
    const count = Math.floor((RATE * bench.roundMs) / 1000)
    const read = reader.call("read", { topic: group, count })
    await bench.peer.call("trickleTimed", { group, rate: RATE, most: count })
    const micros = await read
    const { frames: after } = await bench.peer.call("sent", { group })
    missing += after - before - micros.length
    return micros
  }

  const got = { bare: [], managed: [] }
  for (let i = 1 - WARM_ROUNDS; i <= bench.rounds; i++) {
    const order = i % 2 === 0 ? WAYS : WAYS.toReversed()
    for (const who of order) {
      const micros = await round(who)
      if (i > 0) got[who].push({ p50: median(micros), p99: quantile(micros, 0.99) })
    }
    if (i < 1) continue
    const [bare, managed] = WAYS.map((who) => got[who].at(-1))
    bench.say(`Dapr latency, round ${i}: p50 ${Math.round(managed.p50)} (bare ${Math.round(bare.p50)}) us`)
  }
  for (const worker of [...Object.values(workers), reader]) await worker.stop()
  await dapr.stop()

  const of = (who, what) => median(got[who].map((one) => one[what]))
  return [
    {
      figure: 9,
      name: `Dapr, latency at ${RATE} frames/s`,
      unit: "us to a reader, p50",
      bare: Math.round(of("bare", "p50")),
      managed: Math.round(of("managed", "p50")),
      value: fixed((of("managed", "p50") - of("bare", "p50")) / 1000),
      what: "ms added",
      timed: true,
      exact: missing === 0,
      holds: true,
      notes: [
        `p99 ${Math.round(of("managed", "p99"))} (bare ${Math.round(of("bare", "p99"))}) us,`,
        missing === 0 ? "all there" : `NOT EXACT: ${missing} frames missing`
      ]
    }
  ]
}
