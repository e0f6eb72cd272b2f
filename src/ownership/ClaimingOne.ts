/**
 * One connection whose owner has ended, claimed because a caller asks for it: a repeated request_id that meets its record
 * (architecture, section 2, Creating). Page first, then the record, then the lease again, as at a create.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { breathe } from "../common/YieldToEventLoop.js"
import { StateStoreUnavailable } from "../domain/Errors.js"
import { isTombstone } from "../domain/Record.js"
import { answered, type Attempt } from "./Attempt.js"
import { claim } from "./Claim.js"
import type { Claimed } from "./Owned.js"
import { release } from "./Records.js"
import { ANSWER_WITHIN } from "./Removing.js"
import { type Room, type Tenure, unwant, want } from "./Room.js"
import { lookAtOne } from "./Sorting.js"

type Answer = Option.Option<Claimed>

export const claimOne = (
  room: Room,
  id: string,
  onLate: ((claimed: Claimed) => void) | undefined
): Effect.Effect<Answer, StateStoreUnavailable> =>
  answered(room, id, {
    within: ANSWER_WITHIN,
    work: (tenure, attempt) => work(room, tenure, id, attempt, onLate !== undefined),
    late: (exit) => late(room, exit, onLate)
  })

/** Claimed after its caller has gone: an instance may not own a connection that it does not act for. */
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
        // named by this very life, and not owned: being claimed with the others, or claimed after its caller had gone
        if (ended === "mine" && (tenure.wants.get(id) ?? 0) > 1) return Option.none()
        yield* pages.add(id)
        attempt.sent = true
        const reason = ended === "mine" ? "restart" : ended
        const claimed = yield* claim(room, tenure, stored, version!, reason, { patient: false, abandoned: givenUp })
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
