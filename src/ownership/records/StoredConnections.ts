/**
 * The connections of any instance as the store has them: its pages, then their records. For questions about an instance
 * that does not answer itself.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { StateStoreUnavailable } from "../../domain/Errors.js"
import { type ConnectionRecord, decodeStored, isTombstone } from "../../domain/stored/ConnectionRecord.js"
import { decodePage } from "../../domain/stored/InstanceRecord.js"
import { connectionKey, pageKey } from "../../domain/stored/Keys.js"
import type { StateStore } from "../../ports/StateStore.js"

/** Pages read at once. */
const PAGES_AT_ONCE = 16

export interface StoredConnections {
  /** The ids on the pages of this instance, in order; some may be owned by others by now, or be gone. */
  readonly idsOf: (instanceId: string) => Effect.Effect<ReadonlyArray<string>, StateStoreUnavailable>
  /** The records of these ids, in their order; what was removed, or cannot be understood, is left out. */
  readonly records: (
    ids: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<ConnectionRecord>, StateStoreUnavailable>
}

export const make = (store: StateStore["Type"]): StoredConnections => ({
  idsOf: (instanceId) =>
    Effect.gen(function* () {
      const ids = new Set<string>()
      for (let first = 0; ; first += PAGES_AT_ONCE) {
        const numbers = Array.from({ length: PAGES_AT_ONCE }, (_, i) => first + i)
        const found = yield* store.getMany(numbers.map((n) => pageKey(instanceId, n)))
        for (const n of numbers) {
          const entry = found.get(pageKey(instanceId, n))
          // what cannot be understood costs itself alone
          const page = entry === undefined ? undefined : Either.getOrNull(decodePage(instanceId, n, entry.value))
          for (const id of page?.ids ?? []) ids.add(id)
          // a reader reads up to the first missing page, or the one that says it is the last
          if (page === undefined || page?.end === true) return [...ids].sort()
        }
      }
    }),
  records: (ids) =>
    Effect.gen(function* () {
      const found = yield* store.getMany(ids.map(connectionKey))
      const records: Array<ConnectionRecord> = []
      for (const id of ids) {
        const entry = found.get(connectionKey(id))
        if (entry === undefined) continue
        const stored = Either.getOrUndefined(decodeStored(id, entry.value))
        if (stored !== undefined && !isTombstone(stored)) records.push(stored)
      }
      return records
    })
})
