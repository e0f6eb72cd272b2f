/** Figure 3: what an idle connection holds in memory, each kind in a fresh process. */
import { fixed, median, sleep } from "../lib/stats.mjs"

const CONNECTIONS = 5000

/** @param {import("../main.mjs").Bench} bench */
export const memory = async (bench) => {
  const got = { bare: [], managed: [] }
  for (let i = 1; i <= bench.memoryRounds; i++) {
    for (const way of ["bare", "managed"]) {
      const worker = await bench.worker(way)
      const before = await worker.call("collectedRss")
      await worker.call("connect", { url: bench.url(`idle-${way}-${i}`), count: CONNECTIONS })
      await sleep(1000)
      const after = await worker.call("collectedRss")
      const { sockets } = await bench.peer.call("sent", { group: `idle-${way}-${i}` })
      await worker.stop()
      if (sockets !== CONNECTIONS) throw new Error(`${way}: ${sockets} of ${CONNECTIONS} connections are up`)
      got[way].push((after - before) / 1024 / CONNECTIONS)
      bench.say(`memory, round ${i}: ${way} ${got[way].at(-1).toFixed(1)} KB a connection`)
    }
  }
  const bare = median(got.bare)
  const managed = median(got.managed)
  return [
    {
      figure: 3,
      name: `memory, ${CONNECTIONS} idle connections`,
      unit: "KB RSS each",
      bare: fixed(bare, 1),
      managed: fixed(managed, 1),
      value: fixed(managed, 1),
      what: "KB",
      bound: { atMost: 50 },
      aim: 30,
      timed: false,
      holds: true,
      notes: [`each with a topic, four dialled at a time; ${fixed(managed / bare, 1)} x bare`]
    }
  ]
}
