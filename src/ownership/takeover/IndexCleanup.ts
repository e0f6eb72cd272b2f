/** Index entries of incarnations whose takeover is done: removed by id and incarnation, since the id may have joined again. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { StateStoreUnavailable } from "../../domain/Errors.js"
import { decodeHeartbeat } from "../../domain/stored/InstanceRecord.js"
import { instanceKey, pageKey } from "../../domain/stored/Keys.js"
import type { Incarnation } from "../../membership/lease/Lease.js"
import type { StateStore } from "../../ports/StateStore.js"
import * as InstanceIndex from "../../state/InstanceIndex.js"

type Ids = Readonly<Record<string, string>>

/** Goes on until they are gone, or the incarnation has ended. */
export const forget = (store: StateStore["Type"], life: Incarnation, gone: Ids): Effect.Effect<void> =>
  InstanceIndex.change(
    store,
    (ids) => {
      const rest = Object.entries(ids).filter(([id, incarnation]) => gone[id] !== incarnation)
      return rest.length === Object.keys(ids).length ? undefined : Object.fromEntries(rest)
    },
    life.ended,
    life.valid
  )

/**
 * How often the index is looked over, beginning with the start of an incarnation; and how soon again, where that
 * failed.
 */
const TIDIED_EVERY = Duration.minutes(10)
const INDEX_RETRY_DELAY = Duration.seconds(10)

/**
 * Those that a survivor left standing when it crashed between its last two steps. The record says `done`, or an hour later
 * is gone with the pages. Where a page is left without its record, something was lost, and the entry stays for people.
 */
const left = (store: StateStore["Type"]): Effect.Effect<Ids, StateStoreUnavailable> =>
  Effect.gen(function* () {
    const entries = Object.entries(yield* InstanceIndex.read(store))
    const rows = yield* store.getMany(entries.map(([id]) => instanceKey(id)))
    const without = entries.filter(([id]) => rows.get(instanceKey(id)) === undefined)
    const pages =
      without.length === 0 ? new Map<string, unknown>() : yield* store.getMany(without.map(([id]) => pageKey(id, 0)))
    const isOver = ([id, incarnation]: readonly [string, string]): boolean => {
      const found = rows.get(instanceKey(id))
      if (found === undefined) return pages.get(pageKey(id, 0)) === undefined
      const record = Either.getOrUndefined(decodeHeartbeat(id, found.value))
      return record?.incarnation === incarnation && record.status === "done"
    }
    return Object.fromEntries(entries.filter(isOver))
  })

/** Looks over the index again and again, as long as the incarnation lasts. */
export const tidy = (store: StateStore["Type"], life: Incarnation): Effect.Effect<void> =>
  left(store).pipe(
    Effect.flatMap((over) => (Object.keys(over).length === 0 ? Effect.void : forget(store, life, over))),
    Effect.as(TIDIED_EVERY),
    Effect.catchAll((failure) =>
      Effect.as(Effect.logDebug("the index was not looked over", failure), INDEX_RETRY_DELAY)
    ),
    Effect.flatMap(Effect.sleep),
    Effect.repeat({ until: life.ended }),
    Effect.asVoid
  )
