/** The instances in the store, as people see them. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { SuspendAwareClock } from "../../common/SuspendAwareClock.js"
import type { StateStoreUnavailable } from "../../domain/Errors.js"
import type { Instance, InstanceStatus } from "../../domain/Messages.js"
import { decodeHeartbeat, type HeartbeatRecord, type HeartbeatStatus } from "../../domain/stored/InstanceRecord.js"
import { instanceKey } from "../../domain/stored/Keys.js"
import type { StateStore } from "../../ports/StateStore.js"
import * as InstanceIndex from "../../state/InstanceIndex.js"

const STATUS: { readonly [Status in HeartbeatStatus]: InstanceStatus } = {
  alive: "INSTANCE_STATUS_ALIVE",
  draining: "INSTANCE_STATUS_DRAINING",
  left: "INSTANCE_STATUS_LEFT",
  dead: "INSTANCE_STATUS_DEAD",
  done: "INSTANCE_STATUS_DEAD"
}

/** What watching tells of an incarnation beyond its record. */
export interface Watched {
  /** when its beat was seen to change last, milliseconds since 1970 */
  readonly changedAt: number
  readonly suspect: boolean
}

/** Reads all records at once; this instance is the first of the answer. */
export const make = (
  store: StateStore["Type"],
  elapsed: SuspendAwareClock,
  self: string,
  watched: (id: string, incarnation: string) => Watched | undefined
): Effect.Effect<ReadonlyArray<Instance>, StateStoreUnavailable> => {
  const view = (record: HeartbeatRecord): Instance => {
    const { incarnation } = record
    const seen = record.id === self ? undefined : watched(record.id, incarnation)
    const suspect = record.status === "alive" && seen?.suspect === true
    return {
      id: record.id,
      incarnation,
      status: suspect ? "INSTANCE_STATUS_SUSPECT" : STATUS[record.status],
      address: record.address,
      connections: record.connections,
      startedAt: new Date(record.startedAt),
      // a peer's own times are for nothing
      lastSeenAt: new Date(seen?.changedAt ?? elapsed.now())
    }
  }

  return Effect.gen(function* () {
    const ids = Object.keys(yield* InstanceIndex.read(store))
    const records = yield* store.getMany(ids.map(instanceKey))
    const instances: Array<Instance> = []
    for (const id of ids) {
      const found = records.get(instanceKey(id))
      // `/health` says what cannot be understood
      const record = found === undefined ? undefined : Either.getOrUndefined(decodeHeartbeat(id, found.value))
      if (record !== undefined) instances.push(view(record))
    }
    return instances.sort((a, b) => Number(b.id === self) - Number(a.id === self) || a.id.localeCompare(b.id))
  })
}
