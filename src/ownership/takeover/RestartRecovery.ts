/**
 * What a former incarnation of this instance left on its pages, one by one. Each is claimed with a higher epoch, ended by a
 * tombstone, or let go (src/ownership/README.md, Joining and restart; Taking over, 3: reconcile; Taking over, 4: claim).
 * The pages of others are sorted in the same way (Takeover).
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { yieldToEventLoop } from "../../common/YieldToEventLoop.js"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import { type ConnectionRecord, nextEpoch } from "../../domain/stored/ConnectionRecord.js"
import { PAGE_SIZE } from "../../domain/stored/Keys.js"
import type { ValueTooLarge } from "../../ports/StateStore.js"
import { endByTombstone } from "../operations/Remove.js"
import type { OrphanClaim } from "../records/OwnedConnection.js"
import { write } from "../records/RecordWrites.js"
import { type PageTenure, retaining, type StoreContext } from "../records/StoreContext.js"
import { claim, own, withoutSocket } from "./Claim.js"
import {
  type EndedOwner,
  formerIncarnations,
  type Observation,
  observe,
  observeOne,
  reconcile,
  type UndecodableRecord
} from "./Reconcile.js"

const RECOVERY_CONCURRENCY = 16
const GROUP = 32
const RECOVERY_RETRY_DELAY = "500 millis"

/**
 * Everything on the pages of the present incarnation that was there when it began; ends when all of it is sorted, or
 * the incarnation has ended.
 */
export const claimOwn = (context: StoreContext, tenure: PageTenure): Stream.Stream<OrphanClaim> => {
  const former = formerIncarnations(context, tenure)
  return Stream.unwrap(
    Effect.match(Deferred.await(tenure.adopted), {
      onFailure: () => Stream.empty,
      onSuccess: () =>
        Stream.fromIterable(tenure.pages.ids()).pipe(
          Stream.rechunk(PAGE_SIZE),
          Stream.chunks,
          Stream.mapEffect((ids) => readAll(context, tenure, Chunk.toReadonlyArray(ids))),
          Stream.flatMap((entries) =>
            atOnce(Stream.fromIterable(entries), ([id, seen]) => resolve(context, tenure, former, id, seen))
          ),
          Stream.concat(
            atOnce(Stream.fromIterable([...tenure.forgotten.values()]), (record) =>
              createAnew(context, tenure, former, record)
            )
          ),
          Stream.concat(
            atOnce(Stream.fromIterable([...tenure.unlisted]), (id) => resolveUnlisted(context, tenure, former, id))
          ),
          Stream.concat(Stream.execute(Effect.sync(() => forgetDoomed(context, tenure))))
        )
    })
  )
}

/**
 * Forgets removals that stand on no page of ours: another instance has settled them. Keeps those that this incarnation
 * removes now.
 */
const forgetDoomed = (context: StoreContext, tenure: PageTenure): void => {
  if (tenure.life.ended()) return
  context.pendingRemoval.settleAllBut((id) => context.owned.get(id)?.removing === true)
}

/** A few side by side, handed on group by group: a stream that merges single elements costs more than the writes. */
const atOnce = <A>(
  items: Stream.Stream<A>,
  settle: (item: A) => Effect.Effect<Option.Option<OrphanClaim>>
): Stream.Stream<OrphanClaim> =>
  items.pipe(
    Stream.rechunk(GROUP),
    Stream.chunks,
    Stream.mapEffect((group) => Effect.forEach(group, settle, { concurrency: RECOVERY_CONCURRENCY })),
    Stream.flatMap((settled) => Stream.fromIterable(settled.flatMap(Option.toArray)))
  )

type Entry = readonly [id: string, seen: Either.Either<Observation, UndecodableRecord>]

const readAll = (
  context: StoreContext,
  tenure: PageTenure,
  ids: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Entry>> =>
  persistently<ReadonlyArray<Entry>>(
    tenure,
    "the connections of a former life cannot be read",
    []
  )(observe(context, tenure.life, ids))

/** Tries again until it answers, or the incarnation has ended. */
const persistently =
  <A>(tenure: PageTenure, what: string, atTheEnd: A) =>
  <E>(effect: Effect.Effect<A, E>): Effect.Effect<A> =>
    Effect.catchAll(effect, (error) =>
      tenure.life.ended()
        ? Effect.succeed(atTheEnd)
        : Effect.logWarning(what, error).pipe(
            Effect.zipRight(Effect.sleep(RECOVERY_RETRY_DELAY)),
            Effect.zipRight(Effect.suspend(() => persistently(tenure, what, atTheEnd)(effect)))
          )
    )

/** It stays as it is, and on its page, for a version that can do more. */
const leftAsItIs =
  (id: string) =>
  (error: UndecodableRecord | ValueTooLarge): Effect.Effect<Option.Option<never>> =>
    Effect.as(
      Effect.logError(`connection ${id} is left as it is`, error._tag === "Unsettleable" ? error.cause : error),
      Option.none()
    )

const again = new StateStoreUnavailable({ reason: "it was changed meanwhile" })

/** A create or claim of this id on request goes first, and may come to nothing; whether there was one. */
const waited = (context: StoreContext, id: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const other = context.pendingRemoval.has(id) ? undefined : context.busy.get(id)
    if (other !== undefined) yield* Deferred.await(other)
    return other !== undefined
  })

/** What one id needs: a claim, a tombstone, or nothing. Reads again until that is clear. */
const resolve = (
  context: StoreContext,
  tenure: PageTenure,
  former: EndedOwner,
  id: string,
  first?: Either.Either<Observation, UndecodableRecord>
): Effect.Effect<Option.Option<OrphanClaim>> => {
  let seen = first
  return Effect.gen(function* () {
    yield* yieldToEventLoop
    if (yield* waited(context, id)) seen = undefined
    const sight = yield* seen ?? observeOne(context, tenure.life, id)
    seen = undefined
    if (context.pendingRemoval.has(id) && !context.owned.has(id)) {
      yield* endByTombstone(context, tenure, id, 0)
      return Option.none()
    }
    if (tenure.retained.has(id)) return yield* again
    // a tombstone here would be in the way of creating it anew
    if (sight.stored === undefined && tenure.forgotten.has(id)) return Option.none()
    const verdict = yield* reconcile(context, tenure, former, sight, { patient: true })
    if (verdict._tag === "Again") return yield* again
    if (verdict._tag === "Orphan") {
      const { reason, record, version } = verdict
      const claimed = yield* claim(context, tenure, record, version, reason, { patient: true })
      return Option.isNone(claimed) ? yield* again : Option.map(claimed, (handed) => ({ ...handed, reason }))
    }
    if (verdict._tag === "Settled") tenure.pages.drop(id)
    return Option.none()
  }).pipe(
    Effect.catchTags({ Unsettleable: leftAsItIs(id), ValueTooLarge: leftAsItIs(id) }),
    persistently(tenure, `connection ${id} of a former life cannot be settled yet`, Option.none())
  )
}

/**
 * The store came back empty: what this instance held is created anew, by create-if-absent. A record that stands there
 * already may be one that the former incarnation created before it saw the store empty. No page names it then; it is
 * reconciled like any other. What was being removed then gets its tombstone, since its record may stand in the same way.
 */
const createAnew = (
  context: StoreContext,
  tenure: PageTenure,
  former: EndedOwner,
  before: ConnectionRecord
): Effect.Effect<Option.Option<OrphanClaim>> => {
  const { id } = before
  return Effect.gen(function* () {
    yield* waited(context, id)
    if (context.owned.has(id) || tenure.retained.has(id)) return Option.none()
    if (context.pendingRemoval.has(id)) {
      yield* endByTombstone(context, tenure, id, before.epoch)
      return Option.none()
    }
    yield* yieldToEventLoop
    const claimed = yield* Effect.gen(function* () {
      yield* tenure.pages.add(id)
      // One beyond what a claim can have been given that was lost with the store: its claimer may not know of it, but readers may.
      const epoch = nextEpoch(before.epoch + 1, context.elapsed.now() + 1000)
      const { incarnation } = tenure.life
      const mine: ConnectionRecord = { ...before, ...withoutSocket(before), incarnation, epoch, handover: undefined }
      const written = yield* write(context, tenure.life, undefined, mine, { patient: true })
      if (written._tag === "Lost" || tenure.life.ended()) return Option.none()
      const owned = own(context, tenure, mine, written.version)
      return Option.some<OrphanClaim>({ owned, from: context.instanceId, reason: "restart", before })
    }).pipe(retaining(tenure, id))
    return Option.isNone(claimed) ? yield* resolve(context, tenure, former, id) : claimed
  }).pipe(
    Effect.catchTag("ValueTooLarge", leftAsItIs(id)),
    persistently(tenure, `connection ${id} cannot be created anew yet`, Option.none()),
    Effect.tap(() => {
      if (!tenure.life.ended()) tenure.forgotten.delete(id)
    })
  )
}

/** Onto a page first: the record that may stand there, or still come, must be named by one. Then like any other id. */
const resolveUnlisted = (
  context: StoreContext,
  tenure: PageTenure,
  former: EndedOwner,
  id: string
): Effect.Effect<Option.Option<OrphanClaim>> =>
  Effect.gen(function* () {
    yield* waited(context, id)
    if (context.owned.has(id)) return Option.none()
    yield* tenure.pages.add(id)
    return yield* resolve(context, tenure, former, id)
  }).pipe(
    persistently(tenure, `connection ${id} of a former life cannot be settled yet`, Option.none()),
    Effect.tap(() => {
      if (!tenure.life.ended()) tenure.unlisted.delete(id)
    })
  )
