/**
 * Status in the store is for readers that have no owner to ask: written behind, coalesced, at most once in 5 seconds a
 * connection. One fiber for all of them.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { yieldToEventLoop } from "../../common/YieldToEventLoop.js"
import type { OwnedConnectionState, RecordChange } from "./OwnedConnection.js"
import { rewrite } from "./RecordWrites.js"
import type { StoreContext } from "./StoreContext.js"

const WRITE_BEHIND_INTERVAL_MS = 5_000
/** The longest that a status waits for the end of a trial, milliseconds. */
const TRIED_FOR = 15_000
const TICK = "200 millis"
const WRITE_BEHIND_CONCURRENCY = 16

export interface WriteBehind {
  readonly note: (owned: OwnedConnectionState, change: () => RecordChange) => void
  /** It is not being tried any more. */
  readonly harmless: (owned: OwnedConnectionState) => void
  /** Writes all that is noted now, each once. */
  readonly flush: Effect.Effect<void>
  /** Never ends by itself; what is noted is kept where it is begun again. */
  readonly loop: Effect.Effect<never>
}

export const make = (context: StoreContext): WriteBehind => {
  const dirty = new Set<OwnedConnectionState>()
  const wake = Effect.unsafeMakeLatch(false)

  const writeOne = (owned: OwnedConnectionState): Effect.Effect<void> =>
    Effect.gen(function* () {
      yield* yieldToEventLoop
      if (owned.offered && owned.isOwned()) return
      dirty.delete(owned)
      if (!owned.isOwned() || owned.removing) return
      const change = owned.takeNoted()
      if (change === undefined) return
      owned.notedAt = context.elapsed.mark()
      const written = yield* Effect.either(
        rewrite(context, owned, (record) => ({ ...record, ...change }), { patient: false })
      )
      if (Either.isRight(written)) return
      if (written.left._tag === "ValueTooLarge") {
        return yield* Effect.logWarning(`the status of connection ${owned.id} is too large for the store`, written.left)
      }
      owned.putBack(change)
      dirty.add(owned)
    })

  const writeAll = (chosen: Iterable<OwnedConnectionState>) =>
    Effect.forEach(Array.from(chosen), writeOne, { concurrency: WRITE_BEHIND_CONCURRENCY, discard: true })

  const rested = ({ notedAt }: OwnedConnectionState) =>
    notedAt === undefined || context.elapsed.since(notedAt) >= WRITE_BEHIND_INTERVAL_MS
  /** Its status goes with the word that it is harmless: one write for both. Not for ever, whatever keeps that back. */
  const tried = ({ triedSince }: OwnedConnectionState): boolean =>
    triedSince !== undefined && context.elapsed.since(triedSince) < TRIED_FOR
  const due = (): ReadonlyArray<OwnedConnectionState> =>
    Array.from(dirty).filter(
      (owned) => !owned.isOwned() || (!owned.offered && rested(owned) && !tried(owned) && owned.life.valid())
    )

  const note: WriteBehind["note"] = (owned, change) => {
    if (!owned.isOwned() || owned.removing) return
    owned.note(change)
    dirty.add(owned)
    wake.unsafeOpen()
  }
  const harmless: WriteBehind["harmless"] = (owned) => {
    owned.triedSince = undefined
    if (owned.current.trial?.by !== owned.life.incarnation) return
    note(owned, () => ({ trial: undefined }))
  }

  return {
    note,
    harmless,
    // an instance that leaves in good order was not killed by what it tried
    flush: Effect.suspend(() => {
      for (const owned of context.owned.values()) harmless(owned)
      return writeAll(dirty)
    }),
    loop: Effect.gen(function* () {
      yield* wake.await
      yield* wake.close
      while (dirty.size > 0) {
        yield* Effect.sleep(TICK)
        yield* writeAll(due())
      }
    }).pipe(
      // begun again, it looks at once at what was left
      Effect.tapErrorCause(() => wake.open),
      Effect.forever
    )
  }
}
