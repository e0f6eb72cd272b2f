/** What every figure of `bench:failover` works with: a fleet, a counting server as the judge, and the list of results. */
import { loadavg } from "node:os"
import { HEADERS, outages, startCountingServer, violations } from "../../support/countingServer.mjs"
import { startDaprd, startEmbedded } from "../lib/backing.mjs"
import { startFleet } from "../lib/fleet.mjs"
import { fixed, quantile, sleep } from "../lib/stats.mjs"

export const TOPIC = "bench"
/** dials per second, for the whole fleet */
export const DIAL_RATE = 1000
/** of three instances that have a third of 300 connections each */
export const THIRDS = [100, 100, 100]

/** @typedef {ReturnType<typeof makeBench>} Bench */

/** @param {{ dist: string, rounds: number, dapr: boolean, logs?: string, say: (line: string) => void }} options */
export const makeBench = ({ dapr, dist, logs, rounds, say }) => {
  /** @type {Array<{ stop: () => Promise<void> }>} */
  const running = []
  const tracked = (started) => {
    running.push(started)
    return started
  }
  const stop = async () => {
    for (const { stop } of running.splice(0).toReversed()) await stop()
  }
  /** @type {Array<{ name: string, measured: string, bound: string, holds: boolean }>} */
  const results = []

  return {
    rounds,
    results,
    say,
    stop,
    add: (/** @type {string} */ name, /** @type {string} */ measured, /** @type {string} */ bound, holds) => {
      results.push({ name, measured, bound, holds })
      const load = loadavg().map((one) => fixed(one, 1))
      say(`${name}: ${measured}; bound ${bound}; load average ${load.join(" ")}`)
    },

    /**
     * Runs `use` with a fleet whose instance n has made `connections[n]` connections; afterwards nothing of it is left.
     *
     * @param {object} options
     * @param {ReadonlyArray<number>} options.connections
     * @param {number} [options.dialRate]
     * @param {boolean} [options.daprd] behind sidecars whatever the flags say
     * @param {object} [options.request] more of each connect
     * @param {import("../lib/network.mjs").Network} [options.network]
     * @param {(fleet: InUse) => Promise<void>} use
     */
    withFleet: async ({ connections, daprd = dapr, dialRate = DIAL_RATE, network, request = {} }, use) => {
      const server = tracked(await startCountingServer())
      const backing = tracked(await (daprd ? startDaprd() : startEmbedded()))
      if (network !== undefined) tracked(network)
      const names = connections.map((_, i) => `i${i}`)
      const fleet = tracked(await startFleet({ dist, names, dialRate, backing, logs, network }))
      const asked = { url: server.url, headers: HEADERS, topic: TOPIC, ...request }
      const connected = names.map((name, i) => fleet.connect(name, connections[i], asked))
      const ids = (await Promise.all(connected)).flat()
      await use({ server, backing, fleet, ids, names })
      judged(server)
      await stop()
    }
  }
}

/**
 * @typedef {object} InUse
 * @property {Awaited<ReturnType<typeof startCountingServer>>} server
 * @property {import("../lib/backing.mjs").Backing} backing
 * @property {import("../lib/fleet.mjs").Fleet} fleet
 * @property {ReadonlyArray<string>} ids of its connections
 * @property {ReadonlyArray<string>} names of its instances
 */

const judged = (server) => {
  const found = violations(server.log)
  if (found.length > 0) throw new Error(`promise 1 is broken: ${found.slice(0, 3).join("; ")}`)
}

export const seconds = (/** @type {number} */ millis) => `${fixed(millis / 1000)} s`
export const spread = (/** @type {ReadonlyArray<number>} */ millis) =>
  `p50 ${seconds(quantile(millis, 0.5))}, p99 ${seconds(quantile(millis, 0.99))}, max ${seconds(Math.max(...millis))} (${millis.length})`

/**
 * How long each connection of the one who was lost at that time was without a socket that somebody stands behind; done when
 * all of them have one again. It must have had some.
 *
 * @param {InUse} inUse @param {string} lost @param {number} at milliseconds since 1970 @param {number} withinMs
 */
export const upAgain = async ({ ids, server }, lost, at, withinMs) => {
  const deadline = Date.now() + withinMs
  for (;;) {
    const millis = outages(server.log, lost, at)
    if (millis.length === 0) throw new Error(`${lost} had no connections: nothing is measured`)
    if (millis.every((one) => one < Infinity) && server.up(ids) === ids.length) return millis
    if (Date.now() > deadline) {
      const left = millis.filter((one) => one === Infinity).length
      throw new Error(`after ${seconds(withinMs)} ${left} connections of ${lost} are not up again`)
    }
    await sleep(50)
  }
}

/** Everybody has its share again, and a moment has passed. */
export const levelled = async (/** @type {import("../lib/fleet.mjs").Fleet} */ fleet) => {
  await fleet.settled()
  await fleet.rebalance()
  await sleep(1000)
}
