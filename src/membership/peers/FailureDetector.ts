/**
 * What a peer's silence means (src/ownership/README.md, Judging); pure.
 *
 * All times are milliseconds of this instance's monotonic clock: a peer's own timestamps are for people only.
 */
import { marginOf } from "../../domain/stored/InstanceRecord.js"

export type Judgement = "alive" | "suspect" | "dead"

/** What this instance knows of one incarnation of a peer. */
export interface Seen {
  /** by its own record */
  readonly ttlMs: number
  readonly intervalMs: number
  /** when this instance saw its beat change last */
  readonly changedAt: number
  /** since when this instance reads the store without a break; undefined: it does not */
  readonly listeningSince: number | undefined
  /**
   * when this instance first tried to say hello, or the peer last answered that it does not count it; undefined: not yet
   */
  readonly triedAt: number | undefined
  /** when it answered that it counts this instance; undefined: not yet */
  readonly greetedAt: number | undefined
}

/** From when on its silence counts: the latest of the three; undefined: it does not count now. */
export const silentSince = (seen: Seen): number | undefined => {
  const { changedAt, greetedAt, listeningSince, triedAt } = seen
  const hello = greetedAt ?? triedAt
  return listeningSince === undefined || hello === undefined ? undefined : Math.max(changedAt, listeningSince, hello)
}

/** How long a silence is borne. */
export const patienceOf = ({ intervalMs, ttlMs }: Pick<Seen, "intervalMs" | "ttlMs">): number =>
  ttlMs + marginOf(intervalMs)

/** When the judgement changes next if nothing is heard until then; undefined: never by itself. */
export const nextChange = (seen: Seen, now: number): number | undefined => {
  const since = silentSince(seen)
  if (since === undefined) return undefined
  return now - since <= seen.ttlMs / 2 ? since + seen.ttlMs / 2 : since + patienceOf(seen)
}

export const judge = (seen: Seen, now: number): Judgement => {
  const since = silentSince(seen)
  if (since === undefined) return "alive"
  const silent = now - since
  return silent > patienceOf(seen) ? "dead" : silent > seen.ttlMs / 2 ? "suspect" : "alive"
}
