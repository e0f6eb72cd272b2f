/**
 * One record made this instance's (src/ownership/README.md, Taking over, 4: claim): page first, then the record with a
 * higher epoch.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CONNECTING, FAILED, RECONNECTING, shouldBeUp } from "../../domain/ConnectionStatus.js"
import type { StateStoreUnavailable } from "../../domain/Errors.js"
import { type ConnectionRecord, nextEpoch } from "../../domain/stored/ConnectionRecord.js"
import { onClaim, QUARANTINED } from "../../domain/stored/Trial.js"
import type { ValueTooLarge, Version } from "../../ports/StateStore.js"
import { type ClaimedConnection, type OrphanClaim, OwnedConnectionState } from "../records/OwnedConnection.js"
import { type How, write } from "../records/RecordWrites.js"
import { type PageTenure, retaining, type StoreContext } from "../records/StoreContext.js"
import { observeOne, type Orphan } from "./Reconcile.js"

/**
 * The record made this incarnation's, its id being on our page; none: it was changed meanwhile, or the incarnation has
 * ended.
 */
export const claim = (
  context: StoreContext,
  tenure: PageTenure,
  before: ConnectionRecord,
  expected: Version,
  reason: OrphanClaim["reason"] | "offered",
  how: How
): Effect.Effect<Option.Option<ClaimedConnection>, StateStoreUnavailable | ValueTooLarge> =>
  Effect.gen(function* () {
    const { incarnation } = tenure.life
    const { quarantined, trial } = onClaim(before, { incarnation, died: reason === "dead" || reason === "restart" })
    const mine: ConnectionRecord = {
      ...before,
      ...withoutSocket(before),
      ...(quarantined && { status: FAILED, lastError: IN_QUARANTINE }),
      trial,
      owner: context.instanceId,
      incarnation,
      epoch: nextEpoch(before.epoch, context.elapsed.now()),
      handover: undefined
    }
    const written = yield* write(context, tenure.life, expected, mine, how).pipe(retaining(tenure, before.id))
    if (written._tag === "Lost" || tenure.life.ended()) return Option.none()
    return Option.some({ owned: own(context, tenure, mine, written.version), from: before.owner, before })
  })

const IN_QUARANTINE = `${QUARANTINED}: the last two instances that tried it ended; Reconnect tries it once more`

/** A connection that should be up has no socket just now: the claim itself says so, which costs no further write. */
export const withoutSocket = ({ status }: ConnectionRecord): Partial<ConnectionRecord> => {
  if (!shouldBeUp(status)) return {}
  return { status: status === CONNECTING ? CONNECTING : RECONNECTING, connectedAt: undefined }
}

export const own = (
  context: StoreContext,
  tenure: PageTenure,
  record: ConnectionRecord,
  version: Version
): OwnedConnectionState => {
  const owned = new OwnedConnectionState(tenure.life, record, version)
  context.owned.set(record.id, owned)
  return owned
}

/** Whether this instance owns this id, or is at work on it. */
export const isTaken = (context: StoreContext, tenure: PageTenure, id: string): boolean =>
  context.owned.has(id) || tenure.retained.has(id) || context.busy.has(id) || context.pendingRemoval.has(id)

/** Onto our page, then the record. A lost id stays on our page unless it is clear that it need not. */
export const claimOnto = (
  context: StoreContext,
  tenure: PageTenure,
  record: ConnectionRecord,
  version: Version,
  reason: OrphanClaim["reason"] | "offered"
): Effect.Effect<Option.Option<ClaimedConnection>, StateStoreUnavailable | ValueTooLarge> =>
  Effect.zipRight(
    tenure.pages.add(record.id),
    claim(context, tenure, record, version, reason, { patient: false })
  ).pipe(
    retaining(tenure, record.id),
    Effect.tap((claimed) => (Option.isNone(claimed) ? dropLost(context, tenure, record.id) : Effect.void))
  )

/** What another owner left, unless this instance is at work on it already. */
export const claimOrphan = (
  context: StoreContext,
  tenure: PageTenure,
  { reason, record, version }: Orphan
): Effect.Effect<Option.Option<OrphanClaim>, StateStoreUnavailable | ValueTooLarge> =>
  Effect.gen(function* () {
    if (!tenure.life.valid() || isTaken(context, tenure, record.id)) return Option.none()
    const claimed = yield* claimOnto(context, tenure, record, version, reason)
    return Option.map(claimed, (handed) => ({ ...handed, reason }))
  })

/**
 * After a lost compare-and-set, reads the record again. The winner may be a delayed write by an owner that has ended; then no live
 * page lists this id, and it must stay on ours. It is dropped only when a live owner or a tombstone is found. The stray sweep
 * resolves the rest.
 */
const dropLost = (context: StoreContext, tenure: PageTenure, id: string): Effect.Effect<void> =>
  observeOne(context, tenure.life, id).pipe(
    Effect.map(({ ended, stored }) => {
      // work that is about to add the id finds it dropped, and adds it again
      if (stored !== undefined && ended === undefined && !tenure.retained.has(id)) tenure.pages.drop(id)
    }),
    Effect.catchAll((error) => Effect.logDebug(`a lost claim of ${id} cannot be read again yet`, error))
  )
