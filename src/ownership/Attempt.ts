/** Work on one id that goes on behind when its caller stops waiting: an outcome is always found out. */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { StateStoreUnavailable } from "../domain/Errors.js"
import { alone } from "./Busy.js"
import type { Room, Tenure } from "./Room.js"

/** What became of the work, while its caller waits and after. */
export interface Attempt {
  /** its caller no longer waits */
  left: boolean
  /** the record was sent: it may have landed */
  sent: boolean
}

export interface Work<A, E> {
  /** The longest the caller waits. */
  readonly within: Duration.DurationInput
  readonly work: (tenure: Tenure, attempt: Attempt) => Effect.Effect<A, E>
  /** What is done with an outcome whose caller has gone. */
  readonly late: (exit: Exit.Exit<A, E>) => Effect.Effect<void>
}

/** The outcome, where it comes in time; each is either handed to the caller or `late`. Refused without a lease. */
export const answered = <A, E>(
  room: Room,
  id: string,
  { late, within, work }: Work<A, E>
): Effect.Effect<A, E | StateStoreUnavailable> =>
  Effect.gen(function* () {
    const { tenure } = room
    if (tenure === undefined || !tenure.life.valid()) {
      return yield* new StateStoreUnavailable({ reason: "this instance holds no lease now" })
    }
    const attempt: Attempt = { left: false, sent: false }
    const answer = yield* Deferred.make<A, E>()
    yield* alone(room, id, work(tenure, attempt)).pipe(
      // handed over, or seen to be late, in one step
      Effect.onExit((exit) => (attempt.left ? late(exit) : Deferred.done(answer, exit))),
      Effect.exit,
      Effect.forkIn(room.scope)
    )
    return yield* Deferred.await(answer).pipe(
      Effect.timeoutFail({
        duration: within,
        onTimeout: () =>
          new StateStoreUnavailable({
            ...(attempt.sent && { outcome: "unknown" }),
            reason: "the store does not answer"
          })
      }),
      Effect.onError(() =>
        Effect.gen(function* () {
          attempt.left = true
          const done = yield* Deferred.poll(answer)
          if (Option.isSome(done)) yield* late(yield* Effect.exit(done.value))
        })
      )
    )
  })
