/** Takes what one good read of the fleet says into the view. */
import * as Either from "effect/Either"
import { decodeHeartbeat, hasEnded, type HeartbeatRecord } from "../domain/Instance.js"
import type { Version, Versioned } from "../ports/StateStore.js"
import type { Mark } from "./Elapsed.js"
import { conclude } from "./Fencing.js"
import type { Fleet } from "./Fleet.js"
import type { View } from "./View.js"

export interface Rows {
  /** the index: instance id -> incarnation */
  readonly ids: Readonly<Record<string, string>>
  /** by instance id */
  readonly records: ReadonlyMap<string, Versioned | undefined>
}

/** Who said hello before the read was sent was looked for, and is known by it or not: a record stands before its hello. */
const forgetMet = ({ met }: View, sent: Mark): void => {
  for (const { heardAt, incarnation } of met.values()) if (heardAt <= sent.monotonic) met.delete(incarnation)
}

/** `sent` was just before the read. Ends my life where my own record says so; then the answer is that record. */
export const digest = (fleet: Fleet, { ids, records }: Rows, sent: Mark): HeartbeatRecord | undefined => {
  const { announcements, board, elapsed, life, me, periods, view } = fleet
  const mark = elapsed.mark()
  const now = mark.monotonic
  const first = view.lastGood === undefined
  const listened = view.listeningSince !== undefined && view.lastGood !== undefined
  if (!listened || elapsed.since(view.lastGood!) > 2 * periods.interval) view.listeningSince = now
  view.lastGood = mark

  const appeared = (record: HeartbeatRecord, version: Version): void => {
    const { address, id, incarnation } = record
    const known = {
      id,
      incarnation,
      address,
      record,
      version,
      since: now,
      changedAt: now,
      changedAtWall: mark.wall,
      triedAt: undefined,
      greetedAt: undefined,
      heard: false,
      linked: false,
      standing: false,
      mirrored: address === me.address,
      joinedIndexAt: undefined
    }
    view.known.set(id, known)
    if (hasEnded(record, incarnation)) return
    if (first) announcements.quietly(known)
    else announcements.say("instance-joined", known)
  }

  let fencedBy: HeartbeatRecord | undefined
  view.indexed.clear()
  for (const [id, incarnation] of Object.entries(ids)) view.indexed.set(id, incarnation)
  for (const [id, row] of records) {
    const before = view.known.get(id)
    if (row === undefined) {
      if (id === me.id || before === undefined || view.indexed.has(id)) continue
      if (!view.ended.has(before.incarnation)) conclude(fleet, before, undefined)
      view.lose(before)
      continue
    }
    const decoded = decodeHeartbeat(id, row.value)
    // of another version: it is not judged
    if (Either.isLeft(decoded)) continue
    const record = decoded.right
    if (id === me.id) {
      if ((record.incarnation !== life.incarnation || record.status === "dead") && !life.ended()) {
        board.end(life, "fenced")
        fencedBy = record
      }
      continue
    }
    if (before?.incarnation !== record.incarnation) {
      if (before !== undefined) {
        if (!view.ended.has(before.incarnation)) conclude(fleet, before, record)
        view.lose(before)
      }
      appeared(record, row.version)
    } else {
      if (before.record.beat !== record.beat) {
        before.changedAt = now
        before.changedAtWall = mark.wall
      }
      before.record = record
      before.version = row.version
    }
    const known = view.known.get(id)!
    if (known.joinedIndexAt === undefined && view.indexed.get(id) === known.incarnation) known.joinedIndexAt = now
    if (!hasEnded(record, known.incarnation)) {
      if (record.status === "draining") announcements.say("instance-draining", known)
    } else {
      conclude(fleet, known, record)
      // taken over to the end: nothing will be read of it any more
      if (record.status === "done" && !view.indexed.has(id)) view.lose(known)
    }
  }
  forgetMet(view, sent)
  view.changed()
  // a lease that nobody else knew of ends with the first who does
  if (life.told === "held" && !life.valid()) board.lapse(life)
  // before my own index entry somebody who starts beside me may have read, and found nobody either
  if (life.joinedAt !== undefined && life.joinedAt <= sent.monotonic) view.firstAlone ??= view.members().length === 0
  return fencedBy
}
