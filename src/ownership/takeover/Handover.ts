/**
 * A planned move of a connection, as it stands in its record (src/ownership/README.md, Leaving). The owner names the target
 * in `handover`; the target claims, or the owner takes it back at the same epoch.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import { isTombstone } from "../../domain/stored/ConnectionRecord.js"
import type { ValueTooLarge } from "../../ports/StateStore.js"
import { withIdLock } from "../operations/DetachedTask.js"
import type { ClaimedConnection, OwnedConnectionState, RecordChange } from "../records/OwnedConnection.js"
import { read, release, rewrite } from "../records/RecordWrites.js"
import type { StoreContext } from "../records/StoreContext.js"
import { claimOnto } from "./Claim.js"

const refused = (reason: string) => new StateStoreUnavailable({ reason })

/** False: it is not ours any more. Status is not written behind while it stands: the claim would lose to it. */
export const offerHandover = (
  context: StoreContext,
  owned: OwnedConnectionState | undefined,
  target: { readonly id: string; readonly incarnation: string },
  change: () => RecordChange
): Effect.Effect<boolean, StateStoreUnavailable> =>
  Effect.suspend(() => {
    if (owned === undefined || owned.removing || !owned.isOwned()) return Effect.succeed(false)
    if (!owned.life.valid()) return refused("this instance holds no lease now")
    owned.offered = true
    const { id, incarnation } = target
    return rewrite(context, owned, (record) => ({ ...record, ...change(), handover: { id, incarnation } }), {
      patient: false
    }).pipe(
      Effect.tapError((error) =>
        Effect.sync(() => {
          if (error._tag === "ValueTooLarge" || error.outcome !== "unknown") owned.offered = false
        })
      ),
      carriedThrough(context)
    )
  })

/** True: it is ours as before, and a claim that is still on its way fails. False: it is another's, or gone. */
export const takeBack = (
  context: StoreContext,
  owned: OwnedConnectionState | undefined
): Effect.Effect<boolean, StateStoreUnavailable> =>
  Effect.suspend(() => {
    if (owned === undefined || owned.removing || !owned.isOwned()) return Effect.succeed(false)
    return rewrite(context, owned, (record) => ({ ...record, handover: undefined }), { patient: true }).pipe(
      Effect.tap((mine) =>
        Effect.sync(() => {
          if (mine) owned.offered = false
        })
      ),
      carriedThrough(context)
    )
  })

/** Its caller may stop waiting; the write is settled all the same. */
const carriedThrough =
  (context: StoreContext) =>
  (
    writing: Effect.Effect<boolean, StateStoreUnavailable | ValueTooLarge>
  ): Effect.Effect<boolean, StateStoreUnavailable> =>
    writing.pipe(
      Effect.catchTag("ValueTooLarge", ({ message }) => refused(message)),
      Effect.forkIn(context.scope),
      Effect.flatMap(Fiber.join)
    )

/**
 * Page first, then the record; none: it is not offered to this incarnation at that epoch any more, or it was lost to
 * another.
 */
export const claimHandover = (
  context: StoreContext,
  id: string,
  epoch: number
): Effect.Effect<Option.Option<ClaimedConnection>, StateStoreUnavailable> =>
  Effect.suspend(() => {
    let claimed: Option.Option<ClaimedConnection> = Option.none()
    return claiming(context, id, epoch).pipe(
      Effect.tap((answer) => {
        claimed = answer
      }),
      // it has no actor here now: the sweep of our pages finds it
      Effect.onInterrupt(() =>
        Effect.sync(() => {
          if (Option.isSome(claimed)) release(context, claimed.value.owned)
        })
      )
    )
  })

const claiming = (context: StoreContext, id: string, epoch: number) =>
  Effect.gen(function* () {
    const { tenure } = context
    if (tenure === undefined || !tenure.life.valid()) return yield* refused("this instance holds no lease now")
    yield* Deferred.await(tenure.adopted)
    const { life } = tenure
    const { stored, version } = yield* read(context, id)
    const stands =
      stored !== undefined &&
      !isTombstone(stored) &&
      stored.epoch === epoch &&
      stored.handover?.id === context.instanceId &&
      stored.handover.incarnation === life.incarnation
    if (!stands || context.pendingRemoval.has(id)) return Option.none<ClaimedConnection>()
    return yield* claimOnto(context, tenure, stored, version!, "offered")
  }).pipe(
    (work) => withIdLock(context, id, work),
    Effect.catchTag("ValueTooLarge", ({ message }) => refused(message))
  )
