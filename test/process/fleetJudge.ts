/**
 * What became of the frames that the counting server sent to a fleet: taken by a consumer in order, or lost; and then a gap
 * must have been reported where they are missing.
 */
import { acceptInOrder, type GapReport, type Position } from "../../src/domain/AcceptInOrder.js"
import { readEvent } from "../../src/domain/ReadEvent.js"
import type { Entry } from "../support/countingServer.mjs"

export interface Evidence {
  /** the server's */
  readonly log: ReadonlyArray<Entry>
  /** all of the topic, in its order */
  readonly events: ReadonlyArray<object>
  /** all of the lifecycle topic */
  readonly reports: ReadonlyArray<GapReport>
}

export interface Judgement {
  /** frames that a consumer took */
  readonly taken: number
  /** what the server sent and no consumer took, on whichever socket of the connection */
  readonly lost: number
  readonly problems: ReadonlyArray<string>
}

/** A frame that a consumer took: where it stands, and which frame of which socket it is. */
interface Taken extends Position {
  readonly socket: number
  readonly number: number
}

export const judgeFrames = ({ events, log, reports }: Evidence): Judgement => {
  const problems: Array<string> = []
  const taken = takenOf(events, log, problems)
  const reported = grouped(reports, ({ connectionId }) => connectionId)
  let lost = 0
  for (const [id, entries] of grouped(log.entries(), ([, { id }]) => id)) {
    // a later epoch is a later owner, whoever's socket was accepted first
    const sockets = entries.toSorted(([a, one], [b, other]) => one.epoch - other.epoch || a - b)
    for (const missing of lostOf(sockets, taken)) {
      lost++
      if (reported.get(id)?.some((report) => explains(report, missing)) !== true)
        problems.push(`${id}: ${missing.what} is missing, and in no reported gap`)
    }
  }
  return { taken: [...taken.values()].reduce((sum, { length }) => sum + length, 0), lost, problems }
}

/** What the consumer's rule lets through, by socket. The server numbers the frames of a socket, so that order shows. */
const takenOf = (
  events: ReadonlyArray<object>,
  log: ReadonlyArray<Entry>,
  problems: Array<string>
): ReadonlyMap<number, ReadonlyArray<Taken>> => {
  const inOrder = acceptInOrder()
  const bySocket = new Map<number, Array<Taken>>()
  const last = new Map<string, Taken>()
  const stamps = new Map<string, string>()
  for (const event of events) {
    const read = readEvent(event)
    if (read?.kind !== "frames") continue
    for (const { data, sequence } of read.frames) {
      const stamp = `${read.connectionId}:${read.epoch}:${sequence}`
      if ((stamps.get(stamp) ?? data) !== data) problems.push(`${stamp} stands on two frames`)
      stamps.set(stamp, String(data))
    }
    for (const { connectionId, data, epoch, sequence } of inOrder.accept(event).frames) {
      const [number = 0, , socket = -1] = String(data).split(" ").map(Number)
      const now: Taken = { epoch, sequence, number, socket }
      const what = `${connectionId}: ${epoch}:${sequence} is frame ${number} of socket ${socket}`
      const entry = log[socket]
      if (entry?.id !== connectionId || entry.epoch !== epoch) problems.push(`${what}, which is not that one's`)
      const before = last.get(connectionId)
      if (before?.epoch === epoch && before.socket > socket) problems.push(`${what}, after one of ${before.socket}`)
      if (before?.socket === socket && number - before.number !== sequence - before.sequence)
        problems.push(`${what}, and ${before.epoch}:${before.sequence} was frame ${before.number}`)
      last.set(connectionId, now)
      const here = bySocket.get(socket)
      if (here === undefined) bySocket.set(socket, [now])
      else here.push(now)
    }
  }
  return bySocket
}

/** What one bus took that is not in order, with no repetition: a frame no newer than one of its connection before it. */
export const outOfOrder = (events: ReadonlyArray<object>): ReadonlyArray<string> => {
  const last = new Map<string, Position>()
  const found: Array<string> = []
  for (const event of events) {
    const read = readEvent(event)
    if (read?.kind !== "frames") continue
    const { connectionId, epoch } = read
    for (const { sequence } of read.frames) {
      const before = last.get(connectionId) ?? { epoch: 0, sequence: 0 }
      const now = { epoch, sequence }
      if (!isBefore(before, now))
        found.push(`${connectionId}: ${epoch}:${sequence} after ${before.epoch}:${before.sequence}`)
      last.set(connectionId, now)
    }
  }
  return found
}

/** A lost frame: its own stamp, where the frames around it tell, or those it lies between. */
type Missing = { readonly what: string } & (
  | { readonly at: Position }
  | { readonly after: Position; readonly before: Position }
)

const explains = ({ first, last }: GapReport, missing: Missing): boolean => {
  if ("at" in missing) return isBefore(last, missing.at) && isBefore(missing.at, first)
  const { after, before } = missing
  // It may never have been received, and then has no number: room between two that follow each other is enough.
  return isBefore(isBefore(after, last) ? last : after, isBefore(before, first) ? before : first)
}

/** Of one connection, its sockets in the order of their epochs. */
const lostOf = (
  sockets: ReadonlyArray<readonly [socket: number, entry: Entry]>,
  taken: ReadonlyMap<number, ReadonlyArray<Taken>>
): ReadonlyArray<Missing> => {
  // While a connection moves both sockets are sent the same: it is enough to have it from one.
  const had = new Set(
    sockets.flatMap(([socket, { sentAt }]) => (taken.get(socket) ?? []).map(({ number }) => sentAt[number - 1]))
  )
  const lost: Array<Missing> = []
  let after: Position = { epoch: 0, sequence: 0 }
  for (const [i, [socket, { epoch, instance, sentAt }]] of sockets.entries()) {
    const here = taken.get(socket) ?? []
    const numbers = new Set(here.map(({ number }) => number))
    const first = here[0]
    const end = here.at(-1)
    after = end ?? after
    const next = sockets.slice(i + 1).flatMap(([later]) => taken.get(later)?.[0] ?? [])[0]
    for (const [index, at] of sentAt.entries()) {
      const number = index + 1
      if (numbers.has(number) || had.has(at)) continue
      const what = `frame ${number} of socket ${socket} (${instance}, epoch ${epoch})`
      if (first !== undefined && number < end!.number)
        lost.push({ what, at: { epoch, sequence: first.sequence + number - first.number } })
      else lost.push({ what, after, before: next ?? { epoch: Infinity, sequence: 0 } })
    }
  }
  return lost
}

const isBefore = (a: Position, b: Position): boolean =>
  a.epoch < b.epoch || (a.epoch === b.epoch && a.sequence < b.sequence)

const grouped = <A>(all: Iterable<A>, by: (one: A) => string): ReadonlyMap<string, ReadonlyArray<A>> => {
  const groups = new Map<string, Array<A>>()
  for (const one of all) {
    const group = groups.get(by(one)) ?? []
    groups.set(by(one), group)
    group.push(one)
  }
  return groups
}

/** Milliseconds without a socket at each change of a connection to its next one; 0 where that was there first. */
export const pauses = (log: ReadonlyArray<Entry>): ReadonlyArray<number> =>
  [...grouped(log, ({ id }) => id).values()].flatMap((entries) =>
    entries.slice(1).map(({ openedAt }, i) => Math.max(0, openedAt - (entries[i]!.closedAt ?? openedAt)))
  )

/** Connections of that one at that time whose socket there still stood when the next one opened elsewhere. */
export const sideBySide = (log: ReadonlyArray<Entry>, instance: string, at: number): ReadonlyArray<string> =>
  [...grouped(log, ({ id }) => id)].flatMap(([id, entries]) => {
    const old = entries.findLast((entry) => entry.instance === instance && entry.openedAt <= at)
    const next = entries.find((entry) => entry.instance !== instance && entry.openedAt > at)
    if (old === undefined || next === undefined || old.closedAt! <= next.openedAt) return []
    return [`${id}: ${next.instance} opened after ${next.openedAt - at} ms, ${instance} closed ${since(old, at)}`]
  })

const since = ({ closedAt }: Entry, at: number): string => (closedAt === undefined ? "never" : `after ${closedAt - at}`)
