/** A fleet as a user starts it: several `wsm serve` over one backing, all settings default but the dial rate. */
import { randomUUID } from "node:crypto"
import { join as joinPath } from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { startInstance } from "./instance.mjs"
import { sleep } from "./stats.mjs"

const STATE_LINE = /^websocketmanager_state_operations_total\{operation="([^"]*)"[^}]*\} (\S+)$/gm
/** a joiner's share of the dial budget counts from two intervals after it joined */
const SETTLED_MS = 5000
const PATIENCE_MS = 60_000
/** On a loaded machine a store may be late. */
const PATIENCE = { schedule: Schedule.spaced("500 millis"), times: 60 }

/** @typedef {Awaited<ReturnType<typeof startFleet>>} Fleet */

/**
 * Done when all know each other. What the backing and the network start is theirs to stop.
 *
 * @param {object} options
 * @param {string} options.dist
 * @param {ReadonlyArray<string>} options.names
 * @param {number} options.dialRate for the whole fleet, per second
 * @param {import("./backing.mjs").Backing} options.backing
 * @param {string} [options.logs] folder for what the instances log
 * @param {import("./network.mjs").Network} [options.network] between the instances; they reach each other directly without
 */
export const startFleet = async ({ dist, names, dialRate, backing, logs, network }) => {
  /** @type {Map<string, import("./instance.mjs").Instance>} */
  const members = new Map()
  /** whoever runs, those that are not up yet too */
  const children = new Set()

  const join = async (/** @type {string} */ name) => {
    const door = network === undefined ? [] : ["--advertise-address", await network.door(name)]
    const rate = ["--dial-rate-per-host", `${dialRate} per second`]
    const flags = ["--instance-id", name, ...rate, ...door, ...(await backing.flags(name))]
    const log = logs === undefined ? {} : { log: joinPath(logs, `${name}.log`) }
    const instance = await startInstance({ dist, flags, children, ...log })
    network?.leads(name, instance)
    members.set(name, instance)
  }

  /** Done when each sees all of them alive, and the dial budget is shared by all. */
  const settled = async () => {
    const deadline = Date.now() + PATIENCE_MS
    const sees = async ({ call }) =>
      (await call((client) => client.ListInstances({}))).instances.filter(({ status }) => status.endsWith("_ALIVE"))
        .length === members.size
    while (!(await Promise.all(Array.from(members.values(), sees))).every(Boolean)) {
      if (Date.now() > deadline) throw new Error("the instances do not see each other")
      await sleep(100)
    }
    await sleep(SETTLED_MS)
  }

  const end = async (/** @type {string} */ name, /** @type {NodeJS.Signals} */ signal) => {
    const instance = members.get(name)
    members.delete(name)
    return instance.end(signal)
  }

  const fleet = {
    members,
    join,
    settled,
    kill: (/** @type {string} */ name) => end(name, "SIGKILL"),
    /** Milliseconds that leaving took, and the status it ended with. */
    drain: async (/** @type {string} */ name) => {
      const at = Date.now()
      const status = await end(name, "SIGTERM")
      return { millis: Date.now() - at, status }
    },
    signal: (name, signal) => members.get(name).signal(signal),
    /** Connects that many through one instance; their ids. */
    connect: async (name, count, request) => {
      const connected = await members.get(name).call((client) => {
        const one = () => {
          const asked = { ...request, requestId: randomUUID() }
          return Effect.retry(client.Connect(asked), PATIENCE)
        }
        return Effect.forEach(Array(count).fill(request), one, { concurrency: 32 })
      })
      return connected.map(({ connection }) => connection.id)
    },
    /** Moves connections until each has its share. */
    rebalance: async () => {
      const [{ call }] = members.values()
      await call((client) => Effect.retry(client.Rebalance({}), PATIENCE))
    },
    /** State operations of all so far, by kind. */
    stateOperations: async () => {
      /** @type {Record<string, number>} */
      const sums = {}
      for (const { url } of members.values()) {
        const text = await (await fetch(`${url}/metrics`)).text()
        for (const [, kind, value] of text.matchAll(STATE_LINE)) sums[kind] = (sums[kind] ?? 0) + Number(value)
      }
      return sums
    },
    stop: async () => {
      await Promise.all(Array.from(members.keys(), fleet.kill))
      for (const child of children) child.kill("SIGKILL")
    }
  }
  await Promise.all(names.map(join)).catch(async (error) => {
    await fleet.stop()
    throw error
  })
  await settled()
  return fleet
}
