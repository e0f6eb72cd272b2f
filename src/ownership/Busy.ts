/** One create or claim of an id at a time; none begins in the middle of a removal. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Room } from "./Room.js"

/** Waits for the work on this id that is under way, then keeps other work on it waiting. */
export const alone = <A, E>(room: Room, id: string, work: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    for (let other = room.busy.get(id); other !== undefined; other = room.busy.get(id)) yield* Deferred.await(other)
    const settled = yield* Deferred.make<void>()
    room.busy.set(id, settled)
    return yield* Effect.ensuring(
      work,
      Effect.suspend(() => {
        // a removal does not wait, and may have put its own there meanwhile
        if (room.busy.get(id) === settled) room.busy.delete(id)
        return Deferred.succeed(settled, undefined)
      })
    )
  })
