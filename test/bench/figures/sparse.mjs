/** Figure 2: many connections, each with a frame now and then: what a frame costs the processor, against `ws` alone. */
import { fixed, median, sleep, standstill } from "../lib/stats.mjs"

const SOCKETS = 200
const RATE = 10_000

/** @param {import("../main.mjs").Bench} bench */
export const sparse = async (bench) => {
  const { peer, rounds, say } = bench
  const workers = { bare: await bench.worker("bare"), managed: await bench.worker("managed") }
  for (const [way, worker] of Object.entries(workers)) {
    await worker.call("connect", { url: bench.url(`sparse-${way}`), count: SOCKETS })
  }

  const round = async (way) => {
    const worker = workers[way]
    await peer.call("trickle", { group: `sparse-${way}`, rate: RATE })
    await sleep(200)
    const before = await worker.call("mark")
    await sleep(bench.roundMs * 2)
    const after = await worker.call("mark")
    await peer.call("stop", { group: `sparse-${way}` })
    await standstill(async () => (await worker.call("mark")).frames)
    return (after.cpu - before.cpu) / (after.frames - before.frames)
  }

  const got = { bare: [], managed: [] }
  for (let i = 0; i <= rounds; i++) {
    const pair = { bare: await round("bare"), managed: await round("managed") }
    if (i === 0) continue
    for (const way of ["bare", "managed"]) got[way].push(pair[way])
    say(`sparse, round ${i}: ${(pair.managed / pair.bare).toFixed(2)} x ${pair.bare.toFixed(1)} us`)
  }

  const end = await workers.managed.call("mark")
  const { frames: sent } = await peer.call("sent", { group: "sparse-managed" })
  for (const worker of Object.values(workers)) await worker.stop()
  const exact = end.missed === 0 && end.unordered === 0 && end.frames === sent
  return [
    {
      figure: 2,
      name: `sparse, ${SOCKETS} connections, ${RATE / 1000} k frames/s`,
      unit: "us CPU a frame",
      bare: fixed(median(got.bare), 1),
      managed: fixed(median(got.managed), 1),
      value: fixed(median(got.managed.map((cost, i) => cost / got.bare[i]))),
      what: "x bare",
      bound: { atMost: 2 },
      aim: 1.5,
      timed: true,
      exact,
      holds: true,
      notes: [
        exact ? `${end.frames} frames, none missed, all in order` : `NOT EXACT: ${JSON.stringify({ ...end, sent })}`
      ]
    }
  ]
}
