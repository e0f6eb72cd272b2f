/**
 * What a former life of this instance left on its pages, one by one: claimed with a higher epoch, ended by a tombstone, or
 * let go (architecture, section 2, Joining and restart; Taking over, 3 and 4). The reclaimer will sort other instances'
 * pages in the same way.
 */
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { StateStoreUnavailable } from "../domain/Errors.js"
import { decodeHeartbeat, hasEnded, type HeartbeatRecord } from "../domain/Instance.js"
import { connectionKey, instanceKey, PAGE_SIZE } from "../domain/Key.js"
import { nextEpoch } from "../domain/Ownership.js"
import { type ConnectionRecord, isTombstone } from "../domain/Record.js"
import type { ValueTooLarge, Version, Versioned } from "../ports/StateStore.js"
import type { Claimed } from "./ConnectionStore.js"
import { OwnedState } from "./Owned.js"
import { decode, type How, tombstone, write } from "./Records.js"
import { bury } from "./Removing.js"
import { breathe, type Room, type Tenure, unwant, want } from "./Room.js"

const AT_ONCE = 16
const GROUP = 32
const PAUSE = "500 millis"

/** Everything on the pages of the present life that was there when it began; ends when all of it is sorted. */
export const claimOwn = (room: Room, tenure: Tenure): Stream.Stream<Claimed> =>
  Stream.unwrap(
    Effect.map(Deferred.await(tenure.adopted), () =>
      Stream.fromIterable(tenure.pages.ids()).pipe(
        Stream.rechunk(PAGE_SIZE),
        Stream.chunks,
        Stream.mapEffect((ids) => readAll(room, tenure, Chunk.toReadonlyArray(ids))),
        Stream.flatMap((entries) =>
          atOnce(Stream.fromIterable(entries), ([id, found]) => resolve(room, tenure, id, found))
        ),
        Stream.concat(atOnce(Stream.fromIterable(tenure.forgotten), (record) => createAnew(room, tenure, record))),
        Stream.concat(Stream.execute(Effect.sync(() => forgetDoomed(room, tenure))))
      )
    )
  )

/** What was doomed and stands on no page of mine was sorted by somebody else. */
const forgetDoomed = (room: Room, tenure: Tenure): void => {
  if (tenure.life.ended()) return
  for (const id of Array.from(room.doomed)) if (!room.busy.has(id)) room.doomed.delete(id)
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

type Entry = readonly [id: string, found: Option.Option<Versioned>]

const readAll = (room: Room, tenure: Tenure, ids: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Entry>> =>
  room.store.getMany(ids.map(connectionKey)).pipe(
    Effect.map((found) => ids.map((id): Entry => [id, Option.fromNullable(found.get(connectionKey(id)))])),
    persistently<ReadonlyArray<Entry>>(tenure, "the connections of a former life cannot be read", [])
  )

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

/** Represents that no further try can settle an id: its record, or its owner's, is none that this version can read. */
export class Unsettleable extends Data.TaggedError("Unsettleable")<{ readonly cause: StateStoreUnavailable }> {}

const unsettleable = (cause: StateStoreUnavailable): Unsettleable => new Unsettleable({ cause })

/** It stays as it is, and on its page, for a version that can do more. */
const leftAsItIs =
  (id: string) =>
  (error: Unsettleable | ValueTooLarge): Effect.Effect<Option.Option<never>> =>
    Effect.as(
      Effect.logError(`connection ${id} is left as it is`, error._tag === "Unsettleable" ? error.cause : error),
      Option.none()
    )

const again = new StateStoreUnavailable({ reason: "it was changed meanwhile" })

/** Whoever creates or claims this id on request goes first, and may come to nothing; whether there was one. */
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
  id: string,
  first: Option.Option<Versioned>
): Effect.Effect<Option.Option<Claimed>> => {
  let found: Option.Option<Versioned> | undefined = first
  return Effect.gen(function* () {
    yield* breathe
    if (yield* waited(room, id)) found = undefined
    const at = found ?? (yield* room.store.get(connectionKey(id)))
    found = undefined
    const { stored, version } = yield* Effect.mapError(decode(id, at), unsettleable)
    if (room.owned.has(id)) return Option.none()
    if (tenure.wants.has(id)) return yield* again
    if (room.doomed.has(id)) {
      yield* bury(room, tenure, id, 0)
      return Option.none()
    }
    if (stored === undefined || isTombstone(stored)) {
      // a late write of the former life must find a tombstone, and one that lasts
      const end = stored === undefined ? tombstone(room, id, 0) : { ...stored, removedAt: room.elapsed.now() }
      const written = yield* write(room, tenure.life, version, end, { patient: true })
      if (written._tag === "Lost") return yield* again
      tenure.pages.drop(id)
      return Option.none()
    }
    const ended = yield* endedOwner(room, tenure, stored)
    if (ended === "mine") return Option.none()
    if (ended === undefined) {
      tenure.pages.drop(id)
      return Option.none()
    }
    const claimed = yield* claim(room, tenure, stored, version!, ended, { patient: true })
    return Option.isNone(claimed) ? yield* again : claimed
  }).pipe(
    Effect.catchTags({ Unsettleable: leftAsItIs(id), ValueTooLarge: leftAsItIs(id) }),
    persistently(tenure, `connection ${id} of a former life cannot be settled yet`, Option.none())
  )
}

/** Why its owner has ended; undefined: it has not; mine: this very life owns it. */
export const endedOwner = (
  room: Room,
  tenure: Tenure,
  record: ConnectionRecord
): Effect.Effect<Claimed["reason"] | "mine" | undefined, StateStoreUnavailable | Unsettleable> =>
  Effect.gen(function* () {
    if (record.owner === room.instanceId) return record.incarnation === tenure.life.incarnation ? "mine" : "restart"
    const read = yield* room.store.get(instanceKey(record.owner))
    const owner: HeartbeatRecord | undefined = Option.isNone(read)
      ? undefined
      : yield* Effect.mapError(decodeHeartbeat(record.owner, read.value.value), unsettleable)
    if (!hasEnded(owner, record.incarnation)) return undefined
    return owner?.status === "left" && owner.incarnation === record.incarnation ? "left" : "dead"
  })

/** The record made mine, with a higher epoch, its id being on my page; none: it was changed meanwhile, or the life has ended. */
export const claim = (
  room: Room,
  tenure: Tenure,
  before: ConnectionRecord,
  expected: Version,
  reason: Claimed["reason"],
  how: How
): Effect.Effect<Option.Option<Claimed>, StateStoreUnavailable | ValueTooLarge> =>
  Effect.gen(function* () {
    const mine: ConnectionRecord = {
      ...before,
      owner: room.instanceId,
      incarnation: tenure.life.incarnation,
      epoch: nextEpoch(before.epoch, room.elapsed.now()),
      handover: undefined
    }
    want(tenure, before.id)
    const written = yield* write(room, tenure.life, expected, mine, how).pipe(
      Effect.ensuring(Effect.sync(() => unwant(tenure, before.id)))
    )
    if (written._tag === "Lost" || tenure.life.ended()) return Option.none()
    return Option.some({ owned: own(room, tenure, mine, written.version), from: before.owner, reason, before })
  })

const own = (room: Room, tenure: Tenure, record: ConnectionRecord, version: Version): OwnedState => {
  const owned = new OwnedState(tenure.life, record, version)
  room.owned.set(record.id, owned)
  return owned
}

/** The store came back empty: what this instance held is created anew, by create-if-absent. */
const createAnew = (room: Room, tenure: Tenure, before: ConnectionRecord): Effect.Effect<Option.Option<Claimed>> => {
  const { id } = before
  return Effect.gen(function* () {
    yield* waited(room, id)
    if (room.owned.has(id) || room.doomed.has(id) || tenure.wants.has(id)) return Option.none()
    yield* breathe
    want(tenure, id)
    const claimed = yield* Effect.gen(function* () {
      yield* tenure.pages.add(id)
      const epoch = nextEpoch(before.epoch, room.elapsed.now())
      const mine: ConnectionRecord = { ...before, incarnation: tenure.life.incarnation, epoch, handover: undefined }
      const written = yield* write(room, tenure.life, undefined, mine, { patient: true })
      if (written._tag === "Lost" || tenure.life.ended()) return Option.none()
      const owned = own(room, tenure, mine, written.version)
      return Option.some<Claimed>({ owned, from: room.instanceId, reason: "restart", before })
    }).pipe(Effect.ensuring(Effect.sync(() => unwant(tenure, id))))
    if (Option.isNone(claimed)) tenure.pages.drop(id)
    return claimed
  }).pipe(
    Effect.catchTag("ValueTooLarge", leftAsItIs(id)),
    persistently(tenure, `connection ${id} cannot be created anew yet`, Option.none())
  )
}
