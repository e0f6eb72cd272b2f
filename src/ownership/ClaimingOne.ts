/**
 * One connection whose owner has ended, claimed because somebody asks for it: a repeated request_id that meets its record
 * (architecture, section 2, Creating). Page first, then the record, then the lease again, as at a create.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { StateStoreUnavailable } from "../domain/Errors.js"
import { isTombstone } from "../domain/Record.js"
import { alone } from "./Busy.js"
import { claim } from "./Claim.js"
import type { Claimed } from "./ConnectionStore.js"
import { release } from "./Records.js"
import { ANSWER_WITHIN } from "./Removing.js"
import { breathe, type Room, type Tenure, unwant, want } from "./Room.js"
import { lookAtOne } from "./Sorting.js"

type Answer = Option.Option<Claimed>

/** What became of one claim, while its caller waits and after. */
interface Attempt {
  /** nobody waits any more */
  left: boolean
  /** the record was sent: it may have landed */
  sent: boolean
}

export const claimOne = (
  room: Room,
  id: string,
  onLate: ((claimed: Claimed) => void) | undefined
): Effect.Effect<Answer, StateStoreUnavailable> =>
  Effect.gen(function* () {
    const { tenure } = room
    if (tenure === undefined || !tenure.life.valid()) {
      return yield* new StateStoreUnavailable({ reason: "this instance holds no lease now" })
    }
    const attempt: Attempt = { left: false, sent: false }
    const answer = yield* Deferred.make<Answer, StateStoreUnavailable>()
    yield* alone(room, id, work(room, tenure, id, attempt, onLate !== undefined)).pipe(
      // handed over, or seen to be late, in one step
      Effect.onExit((exit) => (attempt.left ? late(room, exit, onLate) : Deferred.done(answer, exit))),
      Effect.exit,
      Effect.forkIn(room.scope)
    )
    return yield* Deferred.await(answer).pipe(
      Effect.timeoutFail({
        duration: ANSWER_WITHIN,
        onTimeout: () =>
          new StateStoreUnavailable({
            ...(attempt.sent && { outcome: "unknown" }),
            reason: "the store does not answer"
          })
      }),
      Effect.onExit((exit) =>
        Effect.gen(function* () {
          if (Exit.isSuccess(exit)) return
          attempt.left = true
          const done = yield* Deferred.poll(answer)
          if (Option.isSome(done)) yield* late(room, yield* Effect.exit(done.value), onLate)
        })
      )
    )
  })

/** Claimed, and its caller has gone: nobody may own what nobody acts for. */
const late = (
  room: Room,
  exit: Exit.Exit<Answer, StateStoreUnavailable>,
  onLate: ((claimed: Claimed) => void) | undefined
): Effect.Effect<void> =>
  Effect.sync(() => {
    if (!Exit.isSuccess(exit) || Option.isNone(exit.value)) return
    const claimed = exit.value.value
    if (onLate !== undefined) return onLate(claimed)
    release(room, claimed.owned)
  })

const work = (
  room: Room,
  tenure: Tenure,
  id: string,
  attempt: Attempt,
  keepUnknown: boolean
): Effect.Effect<Answer, StateStoreUnavailable> =>
  Effect.gen(function* () {
    yield* Deferred.await(tenure.adopted)
    const { life, pages } = tenure
    const givenUp = () => life.ended() || (attempt.left && !(keepUnknown && attempt.sent))
    want(tenure, id)
    return yield* Effect.gen(function* () {
      for (;;) {
        yield* breathe
        if (givenUp()) return yield* new StateStoreUnavailable({ reason: "given up" })
        const { ended, stored, version } = yield* lookAtOne(room, life, id)
        if (stored === undefined || room.doomed.has(id) || room.owned.has(id)) return Option.none()
        if (isTombstone(stored) || ended === undefined) {
          pages.drop(id)
          return Option.none()
        }
        // of this very life, and not owned: being claimed with the others, or claimed when nobody waited any more
        if (ended === "mine" && (tenure.wants.get(id) ?? 0) > 1) return Option.none()
        yield* pages.add(id)
        attempt.sent = true
        const reason = ended === "mine" ? "restart" : ended
        const claimed = yield* claim(room, tenure, stored, version!, { patient: false, abandoned: givenUp })
        if (Option.isSome(claimed)) return Option.some({ ...claimed.value, reason })
      }
    }).pipe(Effect.ensuring(Effect.sync(() => unwant(tenure, id))))
  }).pipe(
    Effect.catchTags({
      Unsettleable: ({ cause }) => cause,
      ValueTooLarge: ({ bytes, limit }) =>
        new StateStoreUnavailable({ reason: `its record would have ${bytes} bytes, at most ${limit} are kept` })
    })
  )
