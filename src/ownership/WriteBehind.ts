/**
 * Status in the store is for whoever has no owner to ask: written behind, coalesced, at most once in 5 seconds a
 * connection. One fiber for all of them.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { OwnedState, RecordChange } from "./Owned.js"
import { rewrite } from "./Records.js"
import { breathe, type Room } from "./Room.js"

const APART = 5_000
const TICK = "200 millis"
const AT_ONCE = 16

export interface WriteBehind {
  readonly note: (owned: OwnedState, change: () => RecordChange) => void
  /** Writes all that is noted now, each once. */
  readonly flush: Effect.Effect<void>
  /** Never ends by itself; what is noted is kept where it is begun again. */
  readonly loop: Effect.Effect<never>
}

export const make = (room: Room): WriteBehind => {
  const dirty = new Set<OwnedState>()
  const wake = Effect.unsafeMakeLatch(false)

  const writeOne = (owned: OwnedState): Effect.Effect<void> =>
    Effect.gen(function* () {
      yield* breathe
      if (owned.offered && owned.owned()) return
      dirty.delete(owned)
      if (!owned.owned() || owned.removing) return
      const change = owned.takeNoted()
      if (change === undefined) return
      owned.notedAt = room.elapsed.mark()
      const written = yield* Effect.either(
        rewrite(room, owned, (record) => ({ ...record, ...change }), { patient: false })
      )
      if (Either.isRight(written)) return
      if (written.left._tag === "ValueTooLarge") {
        return yield* Effect.logWarning(`the status of connection ${owned.id} is too large for the store`, written.left)
      }
      owned.putBack(change)
      dirty.add(owned)
    })

  const writeAll = (chosen: Iterable<OwnedState>) =>
    Effect.forEach(Array.from(chosen), writeOne, { concurrency: AT_ONCE, discard: true })

  const rested = ({ notedAt }: OwnedState) => notedAt === undefined || room.elapsed.since(notedAt) >= APART
  const due = (): ReadonlyArray<OwnedState> =>
    Array.from(dirty).filter((owned) => !owned.owned() || (!owned.offered && rested(owned) && owned.life.valid()))

  return {
    note: (owned, change) => {
      if (!owned.owned() || owned.removing) return
      owned.note(change)
      dirty.add(owned)
      wake.unsafeOpen()
    },
    flush: Effect.suspend(() => writeAll(dirty)),
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
