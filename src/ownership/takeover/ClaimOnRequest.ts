/**
 * One connection whose owner has ended, claimed because a caller asks for it: a repeated request_id that meets its record
 * (src/ownership/README.md, Creating). Page first, then the record, then the lease again, as at a create.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { yieldToEventLoop } from "../../common/YieldToEventLoop.js"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import { isTombstone } from "../../domain/stored/ConnectionRecord.js"
import { type Attempt, runDetached } from "../operations/DetachedTask.js"
import { STORE_ANSWER_TIMEOUT } from "../operations/Remove.js"
import type { OrphanClaim } from "../records/OwnedConnection.js"
import { release } from "../records/RecordWrites.js"
import { type PageTenure, retaining, type StoreContext } from "../records/StoreContext.js"
import { claim } from "./Claim.js"
import { observeOne } from "./Reconcile.js"

type Answer = Option.Option<OrphanClaim>

export const claimOne = (
  context: StoreContext,
  id: string,
  onLate: ((claimed: OrphanClaim) => void) | undefined
): Effect.Effect<Answer, StateStoreUnavailable> =>
  runDetached(context, id, {
    within: STORE_ANSWER_TIMEOUT,
    work: (tenure, attempt) => work(context, tenure, id, attempt, onLate !== undefined),
    late: (exit) => late(context, exit, onLate)
  })

/** Claimed after its caller has gone: an instance may not own a connection that it does not act for. */
const late = (
  context: StoreContext,
  exit: Exit.Exit<Answer, StateStoreUnavailable>,
  onLate: ((claimed: OrphanClaim) => void) | undefined
): Effect.Effect<void> =>
  Effect.sync(() => {
    if (!Exit.isSuccess(exit) || Option.isNone(exit.value)) return
    const claimed = exit.value.value
    if (onLate !== undefined) return onLate(claimed)
    release(context, claimed.owned)
  })

const work = (
  context: StoreContext,
  tenure: PageTenure,
  id: string,
  attempt: Attempt,
  keepUnknown: boolean
): Effect.Effect<Answer, StateStoreUnavailable> =>
  Effect.gen(function* () {
    yield* Deferred.await(tenure.adopted)
    const { life, pages } = tenure
    const givenUp = () => life.ended() || (attempt.left && !(keepUnknown && attempt.sent))
    return yield* Effect.gen(function* () {
      for (;;) {
        yield* yieldToEventLoop
        if (givenUp()) return yield* new StateStoreUnavailable({ reason: "given up" })
        const { ended, stored, version } = yield* observeOne(context, life, id)
        if (stored === undefined || context.pendingRemoval.has(id) || context.owned.has(id)) return Option.none()
        if (isTombstone(stored) || ended === undefined) {
          pages.drop(id)
          return Option.none()
        }
        // named by this very incarnation, and not owned: being claimed with the others, or claimed after its caller had
        // gone
        if (ended === "mine" && (tenure.retained.get(id) ?? 0) > 1) return Option.none()
        yield* pages.add(id)
        attempt.sent = true
        const reason = ended === "mine" ? "restart" : ended
        const claimed = yield* claim(context, tenure, stored, version!, reason, { patient: false, abandoned: givenUp })
        if (Option.isSome(claimed)) return Option.some({ ...claimed.value, reason })
      }
    }).pipe(retaining(tenure, id))
  }).pipe(
    Effect.catchTags({
      Unsettleable: ({ cause }) => cause,
      ValueTooLarge: ({ bytes, limit }) =>
        new StateStoreUnavailable({ reason: `its record would have ${bytes} bytes, at most ${limit} are kept` })
    })
  )
