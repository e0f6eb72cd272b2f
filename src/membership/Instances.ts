/** The instances in the store, as people see them. */
import * as Effect from "effect/Effect"
import { decodeHeartbeat, type HeartbeatRecord, type HeartbeatStatus } from "../domain/Instance.js"
import type { StateStoreUnavailable } from "../domain/Errors.js"
import { instanceKey } from "../domain/Key.js"
import type { Instance, InstanceStatus } from "../domain/Messages.js"
import type { StateStore } from "../ports/StateStore.js"
import type { Elapsed } from "./Elapsed.js"
import * as InstanceIndex from "./InstanceIndex.js"

const STATUS: { readonly [Status in HeartbeatStatus]: InstanceStatus } = {
  alive: "INSTANCE_STATUS_ALIVE",
  draining: "INSTANCE_STATUS_DRAINING",
  left: "INSTANCE_STATUS_LEFT",
  dead: "INSTANCE_STATUS_DEAD",
  done: "INSTANCE_STATUS_DEAD"
}

/** Reads all records at once; this instance is the first of the answer. */
export const make = (
  store: StateStore["Type"],
  elapsed: Elapsed,
  self: string
): Effect.Effect<ReadonlyArray<Instance>, StateStoreUnavailable> => {
  /** when I saw the beat of each change last: a peer's own times are for nothing */
  const seen = new Map<string, { readonly incarnation: string; readonly beat: number; readonly at: number }>()

  const view = (record: HeartbeatRecord): Instance => {
    const { beat, incarnation } = record
    const before = seen.get(record.id)
    const now = elapsed.now()
    const at = before?.incarnation === incarnation && before.beat === beat && record.id !== self ? before.at : now
    seen.set(record.id, { incarnation, beat, at })
    return {
      id: record.id,
      incarnation,
      status: STATUS[record.status],
      address: record.address,
      connections: record.connections,
      startedAt: new Date(record.startedAt),
      lastSeenAt: new Date(at)
    }
  }

  return Effect.gen(function* () {
    const ids = Object.keys(yield* InstanceIndex.read(store))
    const records = yield* store.getMany(ids.map(instanceKey))
    const instances: Array<Instance> = []
    for (const id of ids) {
      const found = records.get(instanceKey(id))
      if (found === undefined) seen.delete(id)
      else instances.push(view(yield* decodeHeartbeat(id, found.value)))
    }
    return instances.sort((a, b) => Number(b.id === self) - Number(a.id === self) || a.id.localeCompare(b.id))
  })
}
