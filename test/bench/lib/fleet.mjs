/** A fleet as a user starts it: several `wsm serve` over one data directory, with a typed client each. */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { sleep } from "./stats.mjs"

const UP = /^websocketmanager is up: http (\S+)/m
const STATE_LINE = /^websocketmanager_state_operations_total\{operation="([^"]*)"[^}]*\} (\S+)$/gm
/** a joiner's share of the dial budget counts from two intervals after it joined */
const SETTLED_MS = 5000

/** @typedef {Awaited<ReturnType<typeof startFleet>>} Fleet */

/**
 * @param {string} dist
 * @param {ReadonlyArray<string>} names
 * @param {number} dialRate for the whole fleet, per second
 */
export const startFleet = async (dist, names, dialRate) => {
  const { layer, ManagerClient } = await import(pathToFileURL(join(dist, "api/rpc/Client.js")).href)
  const folder = mkdtempSync(join(tmpdir(), "wsm-fleet-"))
  const members = new Map()
  /** whoever runs, those that are not up yet too */
  const children = new Set()

  const enter = async (/** @type {string} */ name) => {
    const flags = ["--http-port", "0", "--grpc-port", "0", "--data-dir", folder, "--instance-id", name]
    const rate = ["--dial-rate-per-host", `${dialRate} per second`, "--log-level", "none"]
    const child = spawn(process.execPath, [join(dist, "main.js"), "serve", ...flags, ...rate], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    children.add(child)
    const ended = new Promise((resolve) => child.on("exit", resolve))
    void ended.then(() => children.delete(child))
    const url = await new Promise((resolve, reject) => {
      let output = ""
      child.stdout.on("data", (chunk) => {
        output += chunk
        const found = UP.exec(output)
        if (found !== null) resolve(found[1])
      })
      child.on("exit", (code) => reject(new Error(`${name} ended with ${code}: ${output}`)))
    })
    const runtime = ManagedRuntime.make(layer({ url }))
    const call = (/** @type {(client: any) => Effect.Effect<any, any>} */ use) =>
      runtime.runPromise(Effect.flatMap(ManagerClient, use))
    members.set(name, { child, ended, url, runtime, call })
  }

  /** Done when each sees all of them alive, and the dial budget is shared by all. */
  const settled = async () => {
    const deadline = Date.now() + 60_000
    const sees = async ({ call }) =>
      (await call((client) => client.ListInstances({}))).instances.filter(({ status }) => status.endsWith("_ALIVE"))
        .length === members.size
    while (!(await Promise.all([...members.values()].map(sees))).every(Boolean)) {
      if (Date.now() > deadline) throw new Error("the instances do not see each other")
      await sleep(100)
    }
    await sleep(SETTLED_MS)
  }

  const kill = async (/** @type {string} */ name) => {
    const { child, ended, runtime } = members.get(name)
    members.delete(name)
    child.kill("SIGKILL")
    await ended
    void runtime.dispose()
  }

  const fleet = {
    members,
    join: enter,
    settled,
    kill,
    signal: (name, signal) => members.get(name).child.kill(signal),
    /** Connects that many through one instance; their ids. */
    connect: async (name, count, request) => {
      const connected = await members
        .get(name)
        .call((client) => Effect.forEach(Array(count).fill(request), client.Connect, { concurrency: 50 }))
      return connected.map(({ connection }) => connection.id)
    },
    /** Moves connections until each has its share. */
    rebalance: async () => {
      const [{ call }] = members.values()
      await call((client) => client.Rebalance({}))
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
      await Promise.all(Array.from(members.keys(), kill))
      for (const child of children) child.kill("SIGKILL")
      rmSync(folder, { recursive: true, force: true })
    }
  }
  await Promise.all(names.map(enter)).catch(async (error) => {
    await fleet.stop()
    throw error
  })
  await settled()
  return fleet
}
