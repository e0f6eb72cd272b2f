/** Processes of one host over one data directory: each has a bus of its own, and what it announced stands in its log. */
import { join } from "node:path"
import Database from "libsql"
import type { FleetBacking, FleetEvent } from "./processFleet.js"
import { type Instance, logOf, temporaryFolder, type TopicEvent } from "./instanceProcess.js"

export const embedded = (): FleetBacking => {
  const folder = temporaryFolder()
  const joined: Array<{ readonly instance: Instance; readonly frames: ReadonlyArray<TopicEvent> }> = []
  return {
    env: async () => ({ WSM_DATA_DIR: folder }),
    joined: async (instance, topic) => {
      joined.push({ instance, frames: await instance.topic(topic) })
    },
    stored: async (keys) => {
      const database = new Database(join(folder, "state.db"))
      try {
        database.pragma("busy_timeout = 5000")
        const read = database.prepare("select v from kv where k = ?")
        return keys.map((key) => JSON.parse((read.get(key) as { readonly v: string }).v))
      } finally {
        database.close()
      }
    },
    // There is no order between the buses; each epoch is one instance's.
    frames: async () =>
      joined.flatMap(({ frames }) => frames).toSorted((a, b) => Number(a["epoch"]) - Number(b["epoch"])),
    // One that was started again goes on where the former of its name has ended.
    buses: () => {
      const buses = new Map<string, Array<TopicEvent>>()
      for (const { frames, instance } of joined) buses.set(instance.id, [...(buses.get(instance.id) ?? []), ...frames])
      return buses
    },
    lifecycle: async () =>
      joined.flatMap(({ instance }) =>
        logOf(instance.process).flatMap(({ connection, message, ...attributes }): ReadonlyArray<FleetEvent> =>
          connection === undefined
            ? []
            : [{ ...attributes, type: `websocketmanager.${message}`, connectionid: connection }]
        )
      )
  }
}
