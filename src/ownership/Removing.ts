/** How a connection leaves the store: a tombstone that keeps its epoch, then off the page. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schedule from "effect/Schedule"
import { StateStoreUnavailable } from "../domain/Errors.js"
import { isTombstone } from "../domain/Record.js"
import type { OwnedState } from "./Owned.js"
import { decode, read, rewrite, tombstone, write } from "./Records.js"
import type { Room, Tenure } from "./Room.js"

/** The longest a caller waits for the store; what it asked for goes on behind. */
export const ANSWER_WITHIN = "5 seconds"

const RETRY = Schedule.spaced("500 millis")

const unknown = (reason: string) => new StateStoreUnavailable({ outcome: "unknown", reason })

/**
 * Answers when the tombstone stands. At the first sign of trouble the answer is `unknown`, since a crash now would bring the
 * connection back; it goes on trying, over later lives of this instance too. `closing` comes before the tombstone; in that
 * time the id is neither claimed nor created anew here.
 */
export const remove = (
  room: Room,
  owned: OwnedState,
  closing: Effect.Effect<void> = Effect.void
): Effect.Effect<void, StateStoreUnavailable> =>
  Effect.gen(function* () {
    const { id } = owned
    if (owned.removing) return yield* unknown("it is being removed already")
    owned.removing = true
    room.doomed.add(id)
    const settled = yield* Deferred.make<void>()
    const answer = yield* Deferred.make<void, StateStoreUnavailable>()
    room.busy.set(id, settled)
    const over = Effect.suspend(() => {
      if (room.busy.get(id) === settled) room.busy.delete(id)
      return Deferred.succeed(settled, undefined)
    })
    yield* Effect.onError(closing, () => over)
    const task = Effect.gen(function* () {
      const written = yield* Effect.either(
        rewrite(room, owned, (record) => tombstone(room, id, record.epoch), {
          patient: true,
          onTrouble: () => Deferred.unsafeDone(answer, unknown("the removal goes on when the store is back"))
        })
      )
      const gone = Either.isRight(written) && written.right
      // a life that ended leaves it to the next one; another owner keeps it
      if (gone || !owned.life.ended()) room.doomed.delete(id)
      owned.letGo()
      if (room.owned.get(id) === owned) room.owned.delete(id)
      if (gone && room.tenure?.life === owned.life) room.tenure.pages.drop(id)
      yield* gone
        ? Deferred.succeed(answer, undefined)
        : Deferred.fail(answer, unknown("this instance was fenced meanwhile"))
    })
    yield* Effect.forkIn(Effect.ensuring(task, over), room.scope)
    yield* Deferred.await(answer).pipe(
      Effect.timeoutFail({ duration: ANSWER_WITHIN, onTimeout: () => unknown("the store does not answer") })
    )
  })

/**
 * Makes a tombstone of whatever of ours stands there, by create-if-absent where nothing does, so that no earlier write can
 * land any more. Goes on until it stands, or the life ends; the next life goes on then.
 */
export const bury = (room: Room, tenure: Tenure, id: string, floor: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    room.doomed.add(id)
    while (!tenure.life.ended()) {
      const found = yield* read(room, id)
      const { stored, version } = found
      if (stored !== undefined && (isTombstone(stored) || stored.owner !== room.instanceId)) break
      const epoch = Math.max(stored?.epoch ?? 0, floor)
      const written = yield* write(room, tenure.life, version, tombstone(room, id, epoch), { patient: true })
      if (written._tag === "Written") break
      const { stored: now } = yield* decode(id, written.current)
      if (now !== undefined && isTombstone(now)) break
    }
    if (tenure.life.ended()) return
    room.doomed.delete(id)
    tenure.pages.drop(id)
  }).pipe(
    Effect.tapError((error) => Effect.logDebug("a tombstone is tried again", error)),
    Effect.retry({ while: () => !tenure.life.ended(), schedule: RETRY }),
    Effect.ignore,
    Effect.zipRight(
      Effect.sync(() => {
        if (tenure.life.ended()) room.doomed.add(id)
      })
    )
  )
