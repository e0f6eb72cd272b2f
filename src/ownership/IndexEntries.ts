/** Index entries of incarnations whose takeover is done: removed by id and incarnation, since the id may have joined again. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { StateStoreUnavailable } from "../domain/Errors.js"
import { decodeHeartbeat } from "../domain/Instance.js"
import { instanceKey } from "../domain/Key.js"
import * as InstanceIndex from "../membership/InstanceIndex.js"
import type { Life } from "../membership/Lease.js"
import type { StateStore } from "../ports/StateStore.js"

type Ids = Readonly<Record<string, string>>

/** Goes on until they are gone, or the life has ended. */
export const forget = (store: StateStore["Type"], life: Life, gone: Ids): Effect.Effect<void> =>
  InstanceIndex.change(
    store,
    (ids) => {
      const rest = Object.entries(ids).filter(([id, incarnation]) => gone[id] !== incarnation)
      return rest.length === Object.keys(ids).length ? undefined : Object.fromEntries(rest)
    },
    life.ended,
    life.valid
  )

/** Those that a survivor left standing, when it crashed between its last two steps. */
export const tidy = (store: StateStore["Type"], life: Life): Effect.Effect<void, StateStoreUnavailable> =>
  Effect.gen(function* () {
    const ids = yield* InstanceIndex.read(store)
    const records = yield* store.getMany(Object.keys(ids).map(instanceKey))
    const done = Object.entries(ids).filter(([id, incarnation]) => {
      const found = records.get(instanceKey(id))
      const record = found === undefined ? undefined : Either.getOrUndefined(decodeHeartbeat(id, found.value))
      return record?.incarnation === incarnation && record.status === "done"
    })
    if (done.length > 0) yield* forget(store, life, Object.fromEntries(done))
  })
