/** One create, removal or claim of an id at a time. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Room } from "./Room.js"

/** Waits for whoever is at work on this id, then keeps the others waiting. */
export const alone = <A, E>(room: Room, id: string, work: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    for (let other = room.busy.get(id); other !== undefined; other = room.busy.get(id)) yield* Deferred.await(other)
    const settled = yield* Deferred.make<void>()
    room.busy.set(id, settled)
    return yield* Effect.ensuring(
      work,
      Effect.suspend(() => {
        room.busy.delete(id)
        return Deferred.succeed(settled, undefined)
      })
    )
  })
