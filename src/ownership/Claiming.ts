/**
 * What a former life of this instance left on its pages, one by one: claimed with a higher epoch, ended by a tombstone, or
 * let go (architecture, section 2, Joining and restart; Taking over, 3 and 4). The pages of others are sorted in the same
 * way (Takeover).
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { breathe } from "../common/YieldToEventLoop.js"
import { StateStoreUnavailable } from "../domain/Errors.js"
import { PAGE_SIZE } from "../domain/Key.js"
import { nextEpoch } from "../domain/Ownership.js"
import type { ConnectionRecord } from "../domain/Record.js"
import type { ValueTooLarge } from "../ports/StateStore.js"
import { claim, own, withoutSocket } from "./Claim.js"
import type { Claimed } from "./Owned.js"
import { write } from "./Records.js"
import { bury } from "./Removing.js"
import { type Room, type Tenure, unwant, want } from "./Room.js"
import { type Former, formerLives, lookAtOne, look, type Sight, sort, type Unsettleable } from "./Sorting.js"

const AT_ONCE = 16
const GROUP = 32
const PAUSE = "500 millis"

/**
 * Everything on the pages of the present life that was there when it began; ends when all of it is sorted, or the life has
 * ended.
 */
export const claimOwn = (room: Room, tenure: Tenure): Stream.Stream<Claimed> => {
  const former = formerLives(room, tenure)
  return Stream.unwrap(
    Effect.match(Deferred.await(tenure.adopted), {
      onFailure: () => Stream.empty,
      onSuccess: () =>
        Stream.fromIterable(tenure.pages.ids()).pipe(
          Stream.rechunk(PAGE_SIZE),
          Stream.chunks,
          Stream.mapEffect((ids) => readAll(room, tenure, Chunk.toReadonlyArray(ids))),
          Stream.flatMap((entries) =>
            atOnce(Stream.fromIterable(entries), ([id, seen]) => resolve(room, tenure, former, id, seen))
          ),
          Stream.concat(
            atOnce(Stream.fromIterable([...tenure.forgotten.values()]), (record) =>
              createAnew(room, tenure, former, record)
            )
          ),
          Stream.concat(Stream.execute(Effect.sync(() => forgetDoomed(room, tenure))))
        )
    })
  )
}

/** Forgets removals that stand on no page of ours: another instance has settled them. Keeps those that this life removes now. */
const forgetDoomed = (room: Room, tenure: Tenure): void => {
  if (tenure.life.ended()) return
  for (const id of Array.from(room.doomed)) if (!room.owned.get(id)?.removing) room.doomed.delete(id)
}

/** A few side by side, handed on group by group: a stream that merges single elements costs more than the writes. */
const atOnce = <A>(
  items: Stream.Stream<A>,
  settle: (item: A) => Effect.Effect<Option.Option<Claimed>>
): Stream.Stream<Claimed> =>
  items.pipe(
    Stream.rechunk(GROUP),
    Stream.chunks,
    Stream.mapEffect((group) => Effect.forEach(group, settle, { concurrency: AT_ONCE })),
    Stream.flatMap((settled) => Stream.fromIterable(settled.flatMap(Option.toArray)))
  )

type Entry = readonly [id: string, seen: Either.Either<Sight, Unsettleable>]

const readAll = (room: Room, tenure: Tenure, ids: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Entry>> =>
  persistently<ReadonlyArray<Entry>>(
    tenure,
    "the connections of a former life cannot be read",
    []
  )(look(room, tenure.life, ids))

/** Tries again until it answers, or the life has ended. */
const persistently =
  <A>(tenure: Tenure, what: string, atTheEnd: A) =>
  <E>(effect: Effect.Effect<A, E>): Effect.Effect<A> =>
    Effect.catchAll(effect, (error) =>
      tenure.life.ended()
        ? Effect.succeed(atTheEnd)
        : Effect.logWarning(what, error).pipe(
            Effect.zipRight(Effect.sleep(PAUSE)),
            Effect.zipRight(Effect.suspend(() => persistently(tenure, what, atTheEnd)(effect)))
          )
    )

/** It stays as it is, and on its page, for a version that can do more. */
const leftAsItIs =
  (id: string) =>
  (error: Unsettleable | ValueTooLarge): Effect.Effect<Option.Option<never>> =>
    Effect.as(
      Effect.logError(`connection ${id} is left as it is`, error._tag === "Unsettleable" ? error.cause : error),
      Option.none()
    )

const again = new StateStoreUnavailable({ reason: "it was changed meanwhile" })

/** A create or claim of this id on request goes first, and may come to nothing; whether there was one. */
const waited = (room: Room, id: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const other = room.doomed.has(id) ? undefined : room.busy.get(id)
    if (other !== undefined) yield* Deferred.await(other)
    return other !== undefined
  })

/** What one id needs: a claim, a tombstone, or nothing. Reads again until that is clear. */
const resolve = (
  room: Room,
  tenure: Tenure,
  former: Former,
  id: string,
  first?: Either.Either<Sight, Unsettleable>
): Effect.Effect<Option.Option<Claimed>> => {
  let seen = first
  return Effect.gen(function* () {
    yield* breathe
    if (yield* waited(room, id)) seen = undefined
    const sight = yield* seen ?? lookAtOne(room, tenure.life, id)
    seen = undefined
    if (room.doomed.has(id) && !room.owned.has(id)) {
      yield* bury(room, tenure, id, 0)
      return Option.none()
    }
    if (tenure.wants.has(id)) return yield* again
    // a tombstone here would be in the way of creating it anew
    if (sight.stored === undefined && tenure.forgotten.has(id)) return Option.none()
    const verdict = yield* sort(room, tenure, former, sight, { patient: true })
    if (verdict._tag === "Again") return yield* again
    if (verdict._tag === "Orphan") {
      const { reason, record, version } = verdict
      const claimed = yield* claim(room, tenure, record, version, reason, { patient: true })
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
 * The store came back empty: what this instance held is created anew, by create-if-absent. Where a record stands already, it
 * may be one that the former life created before it saw the store empty, and that no page names: it is sorted like any other.
 */
const createAnew = (
  room: Room,
  tenure: Tenure,
  former: Former,
  before: ConnectionRecord
): Effect.Effect<Option.Option<Claimed>> => {
  const { id } = before
  return Effect.gen(function* () {
    yield* waited(room, id)
    if (room.owned.has(id) || room.doomed.has(id) || tenure.wants.has(id)) return Option.none()
    yield* breathe
    want(tenure, id)
    const claimed = yield* Effect.gen(function* () {
      yield* tenure.pages.add(id)
      const epoch = nextEpoch(before.epoch, room.elapsed.now())
      const { incarnation } = tenure.life
      const mine: ConnectionRecord = { ...before, ...withoutSocket(before), incarnation, epoch, handover: undefined }
      const written = yield* write(room, tenure.life, undefined, mine, { patient: true })
      if (written._tag === "Lost" || tenure.life.ended()) return Option.none()
      const owned = own(room, tenure, mine, written.version)
      return Option.some<Claimed>({ owned, from: room.instanceId, reason: "restart", before })
    }).pipe(Effect.ensuring(Effect.sync(() => unwant(tenure, id))))
    return Option.isNone(claimed) ? yield* resolve(room, tenure, former, id) : claimed
  }).pipe(
    Effect.catchTag("ValueTooLarge", leftAsItIs(id)),
    persistently(tenure, `connection ${id} cannot be created anew yet`, Option.none()),
    Effect.tap(() => {
      if (!tenure.life.ended()) tenure.forgotten.delete(id)
    })
  )
}
