/** One of three stops or is cut off, and says nothing: the others wait for its lease. */
import { quantile } from "../lib/stats.mjs"
import { makeNetwork } from "../lib/network.mjs"
import { levelled, seconds, spread, THIRDS, upAgain } from "./bench.mjs"

/**
 * By the defaults: ttl + margin + interval + reclaim interval are 9.5 s, and claim and dial of 100 connections take what is
 * left.
 */
const BOUND = { p50: 8000, p99: 10_000, max: 10_500 }
const BOUND_TEXT = "p50 8 s, p99 10 s, max 10.5 s"
const holds = (millis) =>
  quantile(millis, 0.5) <= BOUND.p50 && quantile(millis, 0.99) <= BOUND.p99 && Math.max(...millis) <= BOUND.max

/** The process is stopped, longer than its lease, and wakes. @param {import("./bench.mjs").Bench} bench */
export const freeze = (bench) =>
  bench.withFleet({ connections: THIRDS }, async (inUse) => {
    const { backing, fleet, names, server } = inUse
    const all = []
    server.load(500)
    for (let round = 0; round < bench.rounds; round++) {
      const lost = names[round % names.length]
      const at = Date.now()
      fleet.signal(lost, "SIGSTOP")
      const millis = await upAgain(inUse, lost, at, 30_000)
      bench.say(`  round ${round + 1}: ${spread(millis)}`)
      all.push(...millis)
      fleet.signal(lost, "SIGCONT")
      await levelled(fleet)
    }
    bench.add(`SIGSTOP, 300 connections on 3${backing.name}`, spread(all), BOUND_TEXT, holds(all))
  })

/**
 * The process goes on, and its sockets too, while nothing answers it: its sidecar is stopped, and with it store and broker,
 * and nothing passes between it and the other instances.
 *
 * @param {import("./bench.mjs").Bench} bench
 */
export const cut = (bench) => {
  const network = makeNetwork()
  return bench.withFleet({ connections: THIRDS, daprd: true, network }, async (inUse) => {
    const { backing, fleet, names, server } = inUse
    const all = []
    const dark = []
    let closedLast = 0
    server.load(500)
    for (let round = 0; round < bench.rounds; round++) {
      const lost = names[round % names.length]
      const at = Date.now()
      network.cut(lost)
      backing.signal(lost, "SIGSTOP")
      const millis = await upAgain(inUse, lost, at, 30_000)
      const gaps = gapsOf(server.log, lost, at)
      bench.say(`  round ${round + 1}: ${spread(millis)}; closed at most ${seconds(gaps.closed)} after`)
      all.push(...millis)
      dark.push(...gaps.millis)
      closedLast = Math.max(closedLast, gaps.closed)
      backing.signal(lost, "SIGCONT")
      network.heal()
      await levelled(fleet)
    }
    const both = dark.filter((one) => one < 0).length
    bench.add(`cut off, 300 connections on 3${backing.name}, from the cut on`, spread(all), BOUND_TEXT, holds(all))
    bench.add("  its last socket closed after the cut", seconds(closedLast), "ttl 6 s", closedLast <= 6000)
    bench.add("  no socket at all", `${spread(dark)}; ${both} with two at a time`, "never two", both === 0)
  })
}

/** Of each connection the time from the end of its last socket there to the first one elsewhere. */
const gapsOf = (log, lost, at) => {
  const closed = new Map()
  const millis = []
  for (const { closedAt = Infinity, id, instance, openedAt } of log) {
    if (instance === lost && openedAt <= at && closedAt >= at) closed.set(id, closedAt)
    else if (openedAt > at && closed.has(id)) {
      millis.push(openedAt - closed.get(id))
      closed.delete(id)
    }
  }
  const last = log.filter(({ closedAt, instance, openedAt }) => instance === lost && openedAt <= at && closedAt >= at)
  return { millis, closed: Math.max(...last.map(({ closedAt }) => closedAt)) - at }
}
