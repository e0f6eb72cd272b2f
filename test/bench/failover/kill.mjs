/** SIGKILL of one of three, one after the other: its host tells of the crash. */
import { quantile } from "../lib/stats.mjs"
import { levelled, spread, THIRDS, upAgain } from "./bench.mjs"

/** @param {import("./bench.mjs").Bench} bench */
export const kill = (bench) =>
  bench.withFleet({ connections: THIRDS }, async (inUse) => {
    const { backing, fleet, names, server } = inUse
    const all = []
    server.load(500)
    for (let round = 0; round < bench.rounds; round++) {
      const lost = names[round % names.length]
      const at = Date.now()
      await fleet.kill(lost)
      const millis = await upAgain(inUse, lost, at, 30_000)
      bench.say(`  round ${round + 1}: ${spread(millis)}`)
      all.push(...millis)
      await fleet.join(lost)
      await levelled(fleet)
    }
    bench.add(`SIGKILL, 300 connections on 3${backing.name}`, spread(all), "p99 1.5 s", quantile(all, 0.99) <= 1500)
  })
