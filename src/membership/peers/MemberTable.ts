/**
 * What one incarnation of this instance knows of the others: what it read, which others said hello, which have ended.
 *
 * Fetching fills it (Watch), judging reads it; it holds no fiber and touches no store.
 */
import { evictOldest } from "../../common/EvictOldest.js"
import type { Instant } from "../../common/SuspendAwareClock.js"
import { PEER } from "../../domain/Limits.js"
import type { HeartbeatRecord } from "../../domain/stored/InstanceRecord.js"
import type { Peer } from "../../ports/Peers.js"
import type { Version } from "../../ports/StateStore.js"
import { judge, type Judgement, type Seen } from "./FailureDetector.js"

/** An incarnation that may act, other than this instance's. */
export interface Member extends Peer {
  /** `draining`: it takes no new connections */
  readonly status: "alive" | "draining"
  /** silent for more than half its ttl */
  readonly suspect: boolean
  /** when this instance saw it first, milliseconds of the monotonic clock */
  readonly since: number
  /** when this instance saw it first in the index, likewise; undefined: it only has a record */
  readonly joinedIndexAt: number | undefined
}

/** An incarnation that has ended, and whose takeover is not finished. */
export interface EndedInstance {
  /** the ended instance */
  readonly id: string
  /** which of its incarnations has ended */
  readonly incarnation: string
  /** its last heartbeat */
  readonly record: HeartbeatRecord
  /** `dead`: fenced by another instance; `left`: it said so itself */
  readonly reason: "dead" | "left"
  /** when this instance learnt it, milliseconds of the monotonic clock */
  readonly at: number
}

/** An incarnation whose record this instance has read. */
export interface Known extends Peer {
  readonly since: number
  joinedIndexAt: number | undefined
  record: HeartbeatRecord
  version: Version
  changedAt: number
  /** the same by the wall clock, for people */
  changedAtWall: number
  triedAt: number | undefined
  greetedAt: number | undefined
  /** it said hello itself, as its record names it */
  heard: boolean
  /** a link stood with this incarnation, and was not given up from this end */
  linked: boolean
  /** it stands now */
  standing: boolean
  /** at its address this very instance answered */
  mirrored: boolean
}

/** An instance that said hello, and of which nothing was read yet. */
interface Greeter extends Peer {
  /** milliseconds of the monotonic clock */
  readonly heardAt: number
}

/** Of each kind; more than any fleet has at a time. */
const MAX_DEPARTED = 4096

export class MemberTable {
  readonly #peers = new Map<string, Known>()
  /** greeters of which nothing was read, by incarnation: they are to be read, and nothing else follows from a hello */
  readonly greeters = new Map<string, Greeter>()
  readonly #ended = new Set<string>()
  readonly #departed = new Set<string>()
  /** incarnations that a fence of this instance is on its way to */
  readonly fencing = new Set<string>()
  #indexed: ReadonlyMap<string, string> = new Map()
  /** rows that could not be understood at the last read, by instance id: what is wrong with them */
  readonly unreadable = new Map<string, string>()
  /** by incarnation, as long as its record is the one that is read: after that nothing is left to take over */
  readonly victims = new Map<string, EndedInstance>()
  #listeningSince: number | undefined
  #lastGood: Instant | undefined
  #firstAlone: boolean | undefined
  /** Called before a member is taken out: a lease that has run out by then must not be longer after it. */
  beforeLoss: () => void = () => {}
  /** Reads at once, if the reading runs. */
  look: () => void = () => {}

  #members: ReadonlyArray<Peer> | undefined

  /**
   * `incarnation` is this instance's: the one of its present try to join, or the one it joined as. `onChange` is called
   * after each change of the members.
   */
  constructor(
    public incarnation: string,
    private readonly onChange: () => void = () => {}
  ) {}

  #changed(): void {
    this.#members = undefined
    this.onChange()
  }

  /**
   * Every incarnation that was read and has not ended, less those known to be gone: by the store's word alone, never by a
   * hello.
   */
  members(): ReadonlyArray<Peer> {
    if (this.#members !== undefined) return this.#members
    this.#members = [...this.#peers.values()].filter(
      ({ incarnation }) =>
        incarnation !== this.incarnation && !this.#ended.has(incarnation) && !this.#departed.has(incarnation)
    )
    return this.#members
  }

  /** by instance id: the incarnation of the last read */
  get peers(): ReadonlyMap<string, Known> {
    return this.#peers
  }
  /** incarnations that will never act again, by the store */
  get ended(): ReadonlySet<string> {
    return this.#ended
  }
  /**
   * Incarnations whose process is known to be gone, whatever the store says, until the store says that they have ended. One
   * that is forgotten before is a member again where it is still read, which errs on the safe side: it extends no lease.
   */
  get departed(): ReadonlySet<string> {
    return this.#departed
  }
  /** the index as read last: instance id -> incarnation */
  get indexed(): ReadonlyMap<string, string> {
    return this.#indexed
  }
  /** monotonic; undefined: silence does not count now */
  get listeningSince(): number | undefined {
    return this.#listeningSince
  }
  /** when the answer of the last good read came */
  get lastGood(): Instant | undefined {
    return this.#lastGood
  }
  /** no other instance was there when our index entry landed, or in the first good read sent after it; undefined: not known yet */
  get firstAlone(): boolean | undefined {
    return this.#firstAlone
  }

  /**
   * A read was answered well at `mark`. Silence counts from then on, unless it counted before and the last good read
   * `isFresh`. What was read before a pause says nothing of what happened in it.
   */
  readWell(mark: Instant, isFresh: (last: Instant) => boolean): void {
    if (this.#lastGood === undefined || !isFresh(this.#lastGood)) this.#listeningSince = undefined
    this.#listeningSince ??= mark.monotonic
    this.#lastGood = mark
  }
  /** From now on no peer's silence counts. */
  stopListening(): void {
    this.#listeningSince = undefined
  }
  /** What is counted of the others is counted from their next good read on. */
  forgetReads(): void {
    this.#listeningSince = undefined
    this.#lastGood = undefined
  }
  /** Whether others were there, seen from our own index entry; the first word stands. */
  sawOthers(others: boolean): void {
    this.#firstAlone ??= !others
  }

  readIndex(ids: Readonly<Record<string, string>>): void {
    this.#indexed = new Map(Object.entries(ids))
  }

  /** The incarnation that is read of this instance id from now on. */
  appear(known: Known): void {
    this.#peers.set(known.id, known)
    this.#changed()
  }

  /** Whether it is a member, and its record names it as it does itself. */
  hear({ address, id, incarnation }: Peer): boolean {
    const known = this.#peers.get(id)
    if (known?.incarnation !== incarnation || known.address !== address) return false
    known.heard = true
    return !this.#ended.has(incarnation) && !this.#departed.has(incarnation)
  }

  /** To be read of; false: that was so before. */
  meet(from: Peer, now: number): boolean {
    if (from.incarnation === this.incarnation || this.#ended.has(from.incarnation)) return false
    const before = this.greeters.get(from.incarnation)
    this.greeters.delete(from.incarnation)
    evictOldest(this.greeters.set(from.incarnation, { ...from, heardAt: now }), PEER.GREETERS)
    return before === undefined
  }

  end(incarnation: string): void {
    if (this.#ended.has(incarnation)) return
    this.beforeLoss()
    evictOldest(this.#ended.add(incarnation), MAX_DEPARTED)
    this.#departed.delete(incarnation)
    this.greeters.delete(incarnation)
    this.#changed()
  }

  goneFor(incarnation: string): void {
    this.beforeLoss()
    if (!this.#ended.has(incarnation)) evictOldest(this.#departed.add(incarnation), MAX_DEPARTED)
    this.greeters.delete(incarnation)
    this.#changed()
  }

  /** Whether this incarnation is known to be one of another instance: of this one it tells nothing then. */
  isOfAnother(incarnation: string, id: string): boolean {
    const met = this.greeters.get(incarnation)
    if (met !== undefined && met.id !== id) return true
    for (const known of this.#peers.values()) if (known.incarnation === incarnation) return known.id !== id
    return false
  }

  /** Nothing is read of this incarnation any more, or another has taken its place: there is nothing left to take over. */
  lose({ id, incarnation }: Peer): void {
    if (this.#peers.get(id)?.incarnation === incarnation) {
      this.#peers.delete(id)
      this.#changed()
    }
    this.victims.delete(incarnation)
  }

  /** The incarnation, while it is the one last read of its instance and has not ended. */
  living(incarnation: string): Known | undefined {
    if (this.#ended.has(incarnation)) return undefined
    for (const known of this.#peers.values()) if (known.incarnation === incarnation) return known
    return undefined
  }

  seen(known: Known): Seen {
    return {
      ttlMs: known.record.ttlMs,
      intervalMs: known.record.intervalMs,
      changedAt: known.changedAt,
      listeningSince: this.#listeningSince,
      triedAt: known.triedAt,
      greetedAt: known.greetedAt
    }
  }

  /**
   * Judges a late peer as of our last good read, not as of now. A heartbeat written just after a read becomes visible one interval
   * later; where beats and reads are in phase, every second heartbeat would look late.
   */
  judge(known: Known, now: number): Judgement {
    const seen = this.seen(known)
    const judgement = judge(seen, now)
    return judgement === "suspect" ? judge(seen, Math.min(now, this.#lastGood?.monotonic ?? now)) : judgement
  }

  /** The members with what people and placement ask of them. */
  list(now: number): ReadonlyArray<Member> {
    return this.members().map((peer): Member => {
      const { address, id, incarnation } = peer
      const known = this.#peers.get(id)!
      return {
        id,
        incarnation,
        address,
        status: known.record.status === "draining" ? "draining" : "alive",
        suspect: this.judge(known, now) !== "alive",
        since: known.since,
        joinedIndexAt: known.joinedIndexAt
      }
    })
  }
}
