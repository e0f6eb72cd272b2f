/** One record made mine (architecture, section 2, Taking over, 4): page first, then the record with a higher epoch. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CONNECTING, FAILED, RECONNECTING, shouldBeUp } from "../domain/ConnectionStatus.js"
import type { StateStoreUnavailable } from "../domain/Errors.js"
import { nextEpoch } from "../domain/Ownership.js"
import type { ConnectionRecord } from "../domain/Record.js"
import { onClaim, QUARANTINED } from "../domain/Trial.js"
import type { ValueTooLarge, Version } from "../ports/StateStore.js"
import { type Claimed, type Handed, OwnedState } from "./Owned.js"
import { type How, write } from "./Records.js"
import { type Room, type Tenure, unwant, want } from "./Room.js"
import { lookAtOne, type Orphan } from "./Sorting.js"

/** The record made mine, its id being on my page; none: it was changed meanwhile, or the life has ended. */
export const claim = (
  room: Room,
  tenure: Tenure,
  before: ConnectionRecord,
  expected: Version,
  reason: Claimed["reason"] | "offered",
  how: How
): Effect.Effect<Option.Option<Handed>, StateStoreUnavailable | ValueTooLarge> =>
  Effect.gen(function* () {
    const { incarnation } = tenure.life
    const { quarantined, trial } = onClaim(before, { incarnation, died: reason === "dead" || reason === "restart" })
    const mine: ConnectionRecord = {
      ...before,
      ...withoutSocket(before),
      ...(quarantined && { status: FAILED, lastError: IN_QUARANTINE }),
      trial,
      owner: room.instanceId,
      incarnation,
      epoch: nextEpoch(before.epoch, room.elapsed.now()),
      handover: undefined
    }
    want(tenure, before.id)
    const written = yield* write(room, tenure.life, expected, mine, how).pipe(
      Effect.ensuring(Effect.sync(() => unwant(tenure, before.id)))
    )
    if (written._tag === "Lost" || tenure.life.ended()) return Option.none()
    return Option.some({ owned: own(room, tenure, mine, written.version), from: before.owner, before })
  })

const IN_QUARANTINE = `${QUARANTINED}: the last two instances that tried it ended; Reconnect tries it once more`

/** A connection that should be up has no socket just now: the claim itself says so, which costs no further write. */
export const withoutSocket = ({ status }: ConnectionRecord): Partial<ConnectionRecord> => {
  if (!shouldBeUp(status)) return {}
  return { status: status === CONNECTING ? CONNECTING : RECONNECTING, connectedAt: undefined }
}

export const own = (room: Room, tenure: Tenure, record: ConnectionRecord, version: Version): OwnedState => {
  const owned = new OwnedState(tenure.life, record, version)
  room.owned.set(record.id, owned)
  return owned
}

/** Whether this instance owns this id, or is at work on it. */
export const isTaken = (room: Room, tenure: Tenure, id: string): boolean =>
  room.owned.has(id) || tenure.wants.has(id) || room.busy.has(id) || room.doomed.has(id)

/** Onto our page, then the record. A lost id stays on our page unless it is clear that it need not. */
export const claimOrphan = (
  room: Room,
  tenure: Tenure,
  { reason, record, version }: Orphan
): Effect.Effect<Option.Option<Claimed>, StateStoreUnavailable | ValueTooLarge> =>
  Effect.gen(function* () {
    const { id } = record
    if (!tenure.life.valid() || isTaken(room, tenure, id)) return Option.none()
    want(tenure, id)
    const claimed = yield* Effect.zipRight(
      tenure.pages.add(id),
      claim(room, tenure, record, version, reason, { patient: false })
    ).pipe(Effect.ensuring(Effect.sync(() => unwant(tenure, id))))
    if (Option.isNone(claimed)) yield* dropLost(room, tenure, id)
    return Option.map(claimed, (handed) => ({ ...handed, reason }))
  })

/**
 * After a lost compare-and-set, reads the record again. The winner may be a delayed write by an owner that has ended; then no live
 * page lists this id, and it must stay on ours. It is dropped only when a live owner or a tombstone is found. The stray sweep
 * resolves the rest.
 */
export const dropLost = (room: Room, tenure: Tenure, id: string): Effect.Effect<void> =>
  lookAtOne(room, tenure.life, id).pipe(
    Effect.map(({ ended, stored }) => {
      // work that is about to add the id finds it dropped, and adds it again
      if (stored !== undefined && ended === undefined && !tenure.wants.has(id)) tenure.pages.drop(id)
    }),
    Effect.catchAll((error) => Effect.logDebug(`a lost claim of ${id} cannot be read again yet`, error))
  )
