/** The index: which instances there are, and the incarnation of each. Changed by compare-and-set, never in parts. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { StateStoreUnavailable } from "../domain/Errors.js"
import { decodeIndex, encodeIndex, type Index } from "../domain/stored/InstanceRecord.js"
import { INDEX_KEY } from "../domain/stored/Keys.js"
import type { Retrying } from "../observability/Essentials.js"
import type { StateStore } from "../ports/StateStore.js"
import { put } from "./GuardedWrite.js"

type Ids = Readonly<Record<string, string>>

const INDEX_RETRY_SCHEDULE = Schedule.jittered(Schedule.spaced("200 millis"))
const EMPTY_INDEX: Index = { ids: {}, nonce: "", unknown: {} }

const decode = (found: Option.Option<{ readonly value: string }>): Effect.Effect<Index, StateStoreUnavailable> =>
  Option.isNone(found) ? Effect.succeed(EMPTY_INDEX) : decodeIndex(found.value.value)

/** Instance id -> incarnation. */
export const read = (store: StateStore["Type"]): Effect.Effect<Ids, StateStoreUnavailable> =>
  store.get(INDEX_KEY).pipe(
    Effect.flatMap(decode),
    Effect.map((index) => index.ids)
  )

/** Goes on until the change is in the store, or `abandoned`. A change that answers undefined changes nothing. */
export const change = (
  store: StateStore["Type"],
  next: (ids: Ids) => Ids | undefined,
  abandoned: () => boolean,
  mayWrite: () => boolean = () => true,
  said?: Retrying
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const found = yield* store.get(INDEX_KEY)
    const index = yield* decode(found)
    const ids = next(index.ids)
    if (ids === undefined) return
    const written = yield* put(store, {
      key: INDEX_KEY,
      expected: Option.getOrUndefined(found)?.version,
      value: (nonce) => encodeIndex({ ...index, ids, nonce }),
      mayWrite,
      abandoned,
      patient: true
    })
    if (written._tag === "Lost") return yield* new StateStoreUnavailable({ reason: "the index was changed meanwhile" })
  }).pipe(
    Effect.tapError((error) =>
      Effect.zipRight(Effect.logDebug("the index is tried again", error), said?.failed(error.message) ?? Effect.void)
    ),
    Effect.retry({ while: () => !abandoned(), schedule: INDEX_RETRY_SCHEDULE }),
    Effect.ignore,
    Effect.ensuring(Effect.sync(() => said?.over()))
  )
