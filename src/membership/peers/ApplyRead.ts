/** Takes what one good read of the fleet says into the view. */
import * as Either from "effect/Either"
import type { Instant } from "../../common/SuspendAwareClock.js"
import { decodeHeartbeat, hasEnded, type HeartbeatRecord } from "../../domain/stored/InstanceRecord.js"
import { instanceKey } from "../../domain/stored/Keys.js"
import { isNewer } from "../../domain/stored/StoredJson.js"
import type { Version, Versioned } from "../../ports/StateStore.js"
import { conclude } from "./Fence.js"
import { Holders } from "./Holders.js"
import type { Known, MemberTable } from "./MemberTable.js"
import type { PeerContext } from "./PeerContext.js"

export interface Rows {
  /** the index: instance id -> incarnation */
  readonly ids: Readonly<Record<string, string>>
  /** by instance id */
  readonly records: ReadonlyMap<string, Versioned | undefined>
}

/**
 * Drops greeters that said hello before the read was sent: a peer writes its record before it greets, so the read shows it or
 * not.
 */
const forgetMet = ({ greeters: met }: MemberTable, sent: Instant): void => {
  for (const { heardAt, incarnation } of met.values()) if (heardAt <= sent.monotonic) met.delete(incarnation)
}

/** What can be understood first: whose incarnation it is decides over a copy of it. */
const inOrder = (records: Rows["records"]) =>
  [...records]
    .map(([id, row]) => ({ id, row, decoded: row === undefined ? undefined : decodeHeartbeat(id, row.value) }))
    .sort((a, b) => Number(isUnread(a.decoded)) - Number(isUnread(b.decoded)))

const isUnread = (decoded: ReturnType<typeof decodeHeartbeat> | undefined): boolean =>
  decoded !== undefined && Either.isLeft(decoded)

/** An address at which no instance is reached. */
export const NOWHERE = "http://unreadable.invalid"

/**
 * Stands for a record that cannot be understood: what was known of it before, or what the index says. A row that changes
 * lives, whatever it says; one that does not is fenced like any silent peer. So a copy, or a row written by hand, is no
 * member for ever, and what its owner left is taken over.
 */
const standIn = (
  fleet: PeerContext,
  holders: Holders,
  id: string,
  version: Version,
  before: Known | undefined
): HeartbeatRecord | undefined => {
  const { periods, view } = fleet
  if (before !== undefined) {
    const { record } = before
    return before.version === version ? record : { ...record, beat: record.beat + 1 }
  }
  const incarnation = view.indexed.get(id)
  if (incarnation === undefined) return undefined
  const record: HeartbeatRecord = {
    id,
    incarnation,
    status: "alive",
    address: NOWHERE,
    startedAt: "",
    bootId: "",
    pidNamespace: "",
    pid: 0,
    processStart: "",
    beat: 0,
    intervalMs: periods.interval,
    ttlMs: periods.ttl,
    connections: 0,
    nonce: "",
    unknown: {}
  }
  return holders.isCopied(fleet, record) ? { ...record, incarnation: `unreadable-${id}` } : record
}

/** `sent` was just before the read. Ends this incarnation where its own record says so; then the answer is that record. */
export const applyRead = (fleet: PeerContext, { ids, records }: Rows, sent: Instant): HeartbeatRecord | undefined => {
  const { announcements, board, elapsed, life, me, periods, view } = fleet
  const mark = elapsed.mark()
  const now = mark.monotonic
  const first = view.lastGood === undefined
  view.readWell(mark, (last) => elapsed.since(last) <= 2 * periods.interval)

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
    view.appear(known)
    holders.add(known)
    if (hasEnded(record, incarnation)) return
    if (first) announcements.markKnown(known)
    else announcements.emit("instance-joined", known)
  }

  let fencedBy: HeartbeatRecord | undefined
  view.readIndex(ids)
  const holders = new Holders(view)
  const lose = (known: Known): void => {
    view.lose(known)
    holders.remove(known)
  }
  for (const { decoded, id, row } of inOrder(records)) {
    const before = view.peers.get(id)
    if (row === undefined || decoded === undefined) {
      view.unreadable.delete(id)
      if (id === me.id || before === undefined || view.indexed.has(id)) continue
      if (!view.ended.has(before.incarnation)) conclude(fleet, before, undefined)
      lose(before)
      continue
    }
    const understood = Either.isRight(decoded) && !holders.isCopied(fleet, decoded.right)
    if (understood) view.unreadable.delete(id)
    else {
      view.unreadable.set(
        id,
        Either.isLeft(decoded) ? (decoded.left.reason ?? "") : `${instanceKey(id)} is a copy of another's`
      )
    }
    const record = understood
      ? decoded.right
      : isNewer(row.value)
        ? undefined
        : standIn(fleet, holders, id, row.version, before)
    // of a newer version, or this instance's own: it is not judged
    if (record === undefined || (!understood && id === me.id)) continue
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
        lose(before)
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
    const known = view.peers.get(id)!
    if (known.joinedIndexAt === undefined && view.indexed.get(id) === known.incarnation) known.joinedIndexAt = now
    if (!hasEnded(record, known.incarnation)) {
      if (record.status === "draining") announcements.emit("instance-draining", known)
    } else {
      conclude(fleet, known, record)
      // taken over to the end: nothing will be read of it any more
      if (record.status === "done" && !view.indexed.has(id)) lose(known)
    }
  }
  forgetMet(view, sent)
  // a lease of which no other instance knew ends with the first instance that knows of it
  if (life.told === "held" && !life.valid()) board.lapse(life)
  // before our own index entry stands, an instance that starts beside us may have read the index, and found it empty too
  if (life.joinedAt !== undefined && life.joinedAt <= sent.monotonic) view.sawOthers(view.members().length > 0)
  return fencedBy
}
