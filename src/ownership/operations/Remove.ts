/** How a connection leaves the store: a tombstone that keeps its epoch, then off the page. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schedule from "effect/Schedule"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import { isTombstone } from "../../domain/stored/ConnectionRecord.js"
import type { OwnedConnectionState } from "../records/OwnedConnection.js"
import { decode, read, rewrite, tombstone, write } from "../records/RecordWrites.js"
import type { PageTenure, StoreContext } from "../records/StoreContext.js"

/** The longest a caller waits for the store; what it asked for goes on behind. */
export const STORE_ANSWER_TIMEOUT = "5 seconds"

const REMOVE_RETRY_SCHEDULE = Schedule.spaced("500 millis")

const unknown = (reason: string) => new StateStoreUnavailable({ outcome: "unknown", reason })

/**
 * Answers when the tombstone stands. At the first sign of trouble the answer is `unknown`, since a crash now would bring the
 * connection back; it goes on trying, over later incarnations of this instance too. `closing` comes before the
 * tombstone; in that time the id is neither claimed nor created anew here.
 */
export const remove = (
  context: StoreContext,
  owned: OwnedConnectionState,
  closing: Effect.Effect<void> = Effect.void
): Effect.Effect<void, StateStoreUnavailable> =>
  Effect.gen(function* () {
    const { id } = owned
    if (owned.removing) return yield* unknown("it is being removed already")
    owned.removing = true
    context.pendingRemoval.request(id)
    const settled = yield* Deferred.make<void>()
    const answer = yield* Deferred.make<void, StateStoreUnavailable>()
    context.busy.set(id, settled)
    const over = Effect.suspend(() => {
      if (context.busy.get(id) === settled) context.busy.delete(id)
      return Deferred.succeed(settled, undefined)
    })
    yield* Effect.onError(closing, () => over)
    const task = Effect.gen(function* () {
      const written = yield* Effect.either(
        rewrite(context, owned, (record) => tombstone(context, id, record.epoch), {
          patient: true,
          onTrouble: () => Deferred.unsafeDone(answer, unknown("the removal goes on when the store is back"))
        })
      )
      const gone = Either.isRight(written) && written.right
      // an incarnation that ended leaves it to the next one; another owner keeps it
      if (gone || !owned.life.ended()) context.pendingRemoval.settle(id)
      owned.letGo()
      if (context.owned.get(id) === owned) context.owned.delete(id)
      if (gone && context.tenure?.life === owned.life) context.tenure.pages.drop(id)
      yield* gone
        ? Deferred.succeed(answer, undefined)
        : Deferred.fail(answer, unknown("this instance was fenced meanwhile"))
    })
    yield* Effect.forkIn(Effect.ensuring(task, over), context.scope)
    yield* Deferred.await(answer).pipe(
      Effect.timeoutFail({ duration: STORE_ANSWER_TIMEOUT, onTimeout: () => unknown("the store does not answer") })
    )
  })

/**
 * Makes a tombstone of whatever of ours stands there, by create-if-absent where nothing does, so that no earlier write can
 * land any more. Goes on until it stands, or the incarnation ends; the next incarnation goes on then.
 */
export const endByTombstone = (
  context: StoreContext,
  tenure: PageTenure,
  id: string,
  floor: number
): Effect.Effect<void> =>
  Effect.gen(function* () {
    context.pendingRemoval.request(id)
    while (!tenure.life.ended()) {
      const found = yield* read(context, id)
      const { stored, version } = found
      if (stored !== undefined && (isTombstone(stored) || stored.owner !== context.instanceId)) break
      const epoch = Math.max(stored?.epoch ?? 0, floor)
      const written = yield* write(context, tenure.life, version, tombstone(context, id, epoch), { patient: true })
      if (written._tag === "Written") break
      const { stored: now } = yield* decode(id, written.current)
      if (now !== undefined && isTombstone(now)) break
    }
    if (tenure.life.ended()) return
    context.pendingRemoval.settle(id)
    tenure.pages.drop(id)
  }).pipe(
    Effect.tapError((error) => Effect.logDebug("a tombstone is tried again", error)),
    Effect.retry({ while: () => !tenure.life.ended(), schedule: REMOVE_RETRY_SCHEDULE }),
    Effect.ignore,
    Effect.zipRight(
      Effect.sync(() => {
        if (tenure.life.ended()) context.pendingRemoval.request(id)
      })
    )
  )
