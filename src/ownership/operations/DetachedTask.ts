/** Work on one id that goes on behind when its caller stops waiting: an outcome is always found out. */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import type { PageTenure, StoreContext } from "../records/StoreContext.js"

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
  readonly work: (tenure: PageTenure, attempt: Attempt) => Effect.Effect<A, E>
  /** What is done with an outcome whose caller has gone. */
  readonly late: (exit: Exit.Exit<A, E>) => Effect.Effect<void>
}

/** The outcome, where it comes in time; each is either handed to the caller or `late`. Refused without a lease. */
export const runDetached = <A, E>(
  context: StoreContext,
  id: string,
  { late, within, work }: Work<A, E>
): Effect.Effect<A, E | StateStoreUnavailable> =>
  Effect.gen(function* () {
    const { tenure } = context
    if (tenure === undefined || !tenure.life.valid()) {
      return yield* new StateStoreUnavailable({ reason: "this instance holds no lease now" })
    }
    const attempt: Attempt = { left: false, sent: false }
    const answer = yield* Deferred.make<A, E>()
    yield* withIdLock(context, id, work(tenure, attempt)).pipe(
      // handed over, or seen to be late, in one step
      Effect.onExit((exit) => (attempt.left ? late(exit) : Deferred.done(answer, exit))),
      Effect.exit,
      Effect.forkIn(context.scope)
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

// ------------------------------------------------------------ one at a time for an id

// One create or claim of an id at a time; none begins in the middle of a removal.

/** Waits for the work on this id that is under way, then keeps other work on it waiting. */
export const withIdLock = <A, E>(context: StoreContext, id: string, work: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    for (let other = context.busy.get(id); other !== undefined; other = context.busy.get(id))
      yield* Deferred.await(other)
    const settled = yield* Deferred.make<void>()
    context.busy.set(id, settled)
    return yield* Effect.ensuring(
      work,
      Effect.suspend(() => {
        // a removal does not wait, and may have put its own there meanwhile
        if (context.busy.get(id) === settled) context.busy.delete(id)
        return Deferred.succeed(settled, undefined)
      })
    )
  })
