/** Where a fleet keeps its state, and where its frames go: one data directory, or a sidecar for each instance over one Redis. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { startRedis, startSidecar } from "./dapr.mjs"
import { streamEvents } from "./stream.mjs"

/**
 * @typedef {object} Backing
 * @property {string} name behind the name of a figure; none for the default
 * @property {(instance: string) => Promise<ReadonlyArray<string>>} flags what makes an instance use it
 * @property {(instance: string, signal: NodeJS.Signals) => void} signal to what stands between this instance and the store
 * @property {(fleet: import("./fleet.mjs").Fleet, topic: string) => Promise<Reading>} read every event of a topic from now on
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} Reading
 * @property {(instance: string) => Promise<void>} also to be called when an instance has joined later
 * @property {() => Promise<ReadonlyArray<any>>} events so far
 */

/** Processes of this host over one data directory. @returns {Promise<Backing>} */
export const startEmbedded = async () => {
  const folder = mkdtempSync(join(tmpdir(), "wsm-fleet-"))
  return {
    name: "",
    flags: async () => ["--data-dir", folder],
    signal: () => {
      throw new Error("nothing stands between an instance and its data directory")
    },
    // Each process has a bus of its own.
    read: async (fleet, topic) => {
      const events = []
      let slow = 0
      const each = (event, missed) => {
        events.push(event)
        slow += missed
      }
      const also = (name) => fleet.members.get(name).subscribe(topic, each)
      await Promise.all(Array.from(fleet.members.keys(), also))
      const soFar = async () => {
        if (slow > 0) throw new Error(`this reader was too slow for ${slow} events: nothing is proven`)
        return events
      }
      return { also, events: soFar }
    },
    stop: async () => rmSync(folder, { recursive: true, force: true })
  }
}

/** @returns {Promise<Backing>} */
export const startDaprd = async () => {
  const redis = await startRedis()
  /** @type {Map<string, Awaited<ReturnType<typeof startSidecar>>>} */
  const sidecars = new Map()
  return {
    name: ", daprd × Redis",
    flags: async (name) => {
      if (!sidecars.has(name)) sidecars.set(name, await startSidecar(redis.port))
      const { grpcPort, httpPort } = sidecars.get(name)
      return ["--backing", "dapr", "--dapr-http-port", `${httpPort}`, "--dapr-grpc-port", `${grpcPort}`]
    },
    signal: (name, signal) => sidecars.get(name).signal(signal),
    read: async (_fleet, topic) => ({ also: async () => {}, events: () => streamEvents(redis.client, topic) }),
    stop: async () => {
      await Promise.all(Array.from(sidecars.values(), ({ stop }) => stop()))
      await redis.stop()
    }
  }
}
