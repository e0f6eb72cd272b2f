/** The fleet as the present incarnation of this instance sees it, for all other rooms. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Listeners } from "../../common/Listeners.js"
import type { SuspendAwareClock } from "../../common/SuspendAwareClock.js"
import { uuidv7 } from "../../common/Uuid.js"
import type { StateStoreUnavailable } from "../../domain/Errors.js"
import { decodeHeartbeat, hasEnded } from "../../domain/stored/InstanceRecord.js"
import { instanceKey } from "../../domain/stored/Keys.js"
import type { Greeting, LeaseProbe, Peer } from "../../ports/Peers.js"
import type { StateStore } from "../../ports/StateStore.js"
import type { IncarnationState } from "../lease/Incarnation.js"
import type { LeaseController } from "../lease/LeaseController.js"
import { ANSWERED_READ_AGE_MS, type LeaseTimings } from "../lease/LeaseTimings.js"
import type { Watched } from "./InstanceList.js"
import { type EndedInstance, type Member, MemberTable } from "./MemberTable.js"
import type { InstanceEvent, PeerEvents } from "./PeerEvents.js"
import type { PeerLinks } from "./PeerLinks.js"

/** An instance that can take work. */
export interface LivePeer extends Peer {
  /** a draining one is none of these */
  readonly status: "alive"
  /** it has a share of the dial budget: one that has just joined has none yet */
  readonly mayDial: boolean
}

/** What Membership offers of the others. */
export interface MembershipView {
  /** Every incarnation that may act, without this instance's own: those of the last good read that have not ended. */
  readonly members: () => ReadonlyArray<Member>
  /** Members of the store that can take work: alive, not suspect, not draining; this instance included when it is that. */
  readonly live: () => ReadonlyArray<LivePeer>
  /**
   * Every ended incarnation whose takeover is not done, once per incarnation of this instance; begins with those found so
   * far.
   */
  readonly victims: Stream.Stream<EndedInstance>
  /** Whether this incarnation will never act again; not being able to read is a failure, no answer. */
  readonly isEnded: (id: string, incarnation: string) => Effect.Effect<boolean, StateStoreUnavailable>
  /** Where an owner that has not ended is reached; none when it has. */
  readonly addressOf: (id: string, incarnation: string) => Effect.Effect<Option.Option<Peer>, StateStoreUnavailable>
  /** A connection to this peer was found broken: looks at once whether its process is gone. */
  readonly gone: (peer: Peer) => Effect.Effect<void>
  /** Of the incarnation that answers peers; undefined: it has ended. */
  readonly incarnation: () => string | undefined
  /** For the desk: says whether a greeter is a member, and looks for it in the store if not. */
  readonly hello: (from: Peer) => Effect.Effect<Greeting>
  /** For the desk: whether the store is reached here, and whether the asker has ended. */
  readonly ask: (from: Peer) => Effect.Effect<LeaseProbe>
  /** Calls back, synchronously, after each change of the members, until the returned function is called. */
  readonly onMembers: (listener: () => void) => () => void
  /** Calls back, synchronously, on what happens to others, until the returned function is called. */
  readonly onInstance: (listener: (event: InstanceEvent) => void) => () => void
  /**
   * The part of what the fleet may do per second that is this instance's, 0 to 1. An instance that has just joined has none for two
   * intervals, unless it was alone; the others count it as soon as they see it.
   */
  readonly dialShare: () => number
}

export interface MembershipViewParts {
  /** for all other rooms */
  readonly company: MembershipView
  readonly view: () => MemberTable
  /** From here on, for joining and for the incarnation that follows. */
  readonly renew: () => MemberTable
  readonly link: (links: PeerLinks) => void
  /** What watching tells of this incarnation. */
  readonly watched: (id: string, incarnation: string) => Watched | undefined
  /** By status, for the gauge. */
  readonly counts: () => ReadonlyMap<string, number>
}

export const make = (services: {
  readonly store: StateStore["Type"]
  readonly elapsed: SuspendAwareClock
  readonly periods: LeaseTimings
  readonly board: LeaseController
  readonly announcements: PeerEvents
  readonly self: { readonly id: string; readonly address: string }
}): MembershipViewParts => {
  const { announcements, board, elapsed, periods, self, store } = services
  const changes = new Listeners<[]>()
  let view = new MemberTable(board.present().incarnation, () => changes.tell())
  let links: PeerLinks | undefined

  const now = () => elapsed.mark().monotonic
  /** The incarnation that this view belongs to has ended; while joining there is none yet. */
  const over = () => board.present().ended() && board.present().incarnation === view.incarnation
  const me = (): Peer => ({ ...self, incarnation: view.incarnation })
  const members = () => view.list(now())

  const readRecord = (id: string) =>
    Effect.flatMap(store.get(instanceKey(id)), (found) =>
      Option.isNone(found) ? Effect.succeed(undefined) : decodeHeartbeat(id, found.value.value)
    )
  const isMine = (incarnation: string) => {
    const life = board.present()
    return life.incarnation === incarnation && life.joined && !life.ended()
  }

  const dialShare = (): number => {
    const { joinedAt } = board.present()
    if (joinedAt === undefined) return 0
    const others = view.members()
    const settled = view.firstAlone === true || now() - joinedAt >= 2 * periods.interval
    if (!settled && (others.length > 0 || view.firstAlone === undefined)) return 0
    const counted = others.filter(({ id, incarnation }) => {
      const known = view.peers.get(id)
      return known?.incarnation === incarnation && known.joinedIndexAt !== undefined
    })
    return 1 / (counted.length + 1)
  }

  const company: MembershipView = {
    members,
    live: () => {
      const life = board.present()
      const mine = life.joined && life.status === "alive" && life.valid() ? [{ ...me(), mayDial: dialShare() > 0 }] : []
      const others = members().filter(
        ({ id, incarnation, status, suspect }) =>
          status === "alive" && !suspect && view.peers.get(id)?.incarnation === incarnation
      )
      const settled = now() - 2 * periods.interval
      return [
        ...mine,
        ...others.map((one) => ({ ...one, mayDial: (view.peers.get(one.id)?.joinedIndexAt ?? Infinity) <= settled }))
      ].map(({ address, id, incarnation, mayDial }) => ({ id, incarnation, address, status: "alive", mayDial }))
    },
    victims: Stream.asyncPush<EndedInstance>(
      (emit) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            for (const victim of view.victims.values()) emit.single(victim)
            return announcements.onVictim((victim) => emit.single(victim))
          }),
          (stop) => Effect.sync(stop)
        ),
      { bufferSize: "unbounded" }
    ),
    isEnded: (id, incarnation) =>
      Effect.suspend(() => {
        // what has ended never acts again
        if (view.ended.has(incarnation)) return Effect.succeed(true)
        if (isMine(incarnation)) return Effect.succeed(false)
        return Effect.map(readRecord(id), (record) => hasEnded(record, incarnation))
      }),
    addressOf: (id, incarnation) =>
      Effect.suspend(() => {
        if (view.ended.has(incarnation)) return Effect.succeedNone
        if (isMine(incarnation)) return Effect.succeedSome(me())
        const known = over() ? undefined : view.peers.get(id)
        if (known?.incarnation === incarnation) return Effect.succeedSome({ id, incarnation, address: known.address })
        // not read yet, or the reading has ended
        return Effect.map(readRecord(id), (record) =>
          record === undefined || hasEnded(record, incarnation)
            ? Option.none()
            : Option.some({ id, incarnation, address: record.address })
        )
      }),
    gone: (peer) => Effect.suspend(() => links?.look(peer) ?? Effect.void),
    incarnation: () => (over() ? undefined : view.incarnation),
    hello: (from) => Effect.sync(() => hello(view, elapsed, board.present(), from)),
    ask: (from) => Effect.sync(() => ask(view, elapsed, over(), from)),
    onInstance: announcements.onInstance,
    onMembers: changes.add,
    dialShare
  }
  return {
    company,
    view: () => view,
    renew: () => {
      links = undefined
      view = new MemberTable(uuidv7(elapsed.now()), () => changes.tell())
      changes.tell()
      return view
    },
    link: (next) => {
      links = next
    },
    watched: (id, incarnation) => {
      const known = view.peers.get(id)
      if (known?.incarnation !== incarnation) return undefined
      const suspect = !view.ended.has(incarnation) && view.judge(known, now()) !== "alive"
      return { changedAt: known.changedAtWall, suspect }
    },
    counts: () => {
      const counts = new Map<string, number>()
      const count = (status: string) => counts.set(status, (counts.get(status) ?? 0) + 1)
      const life = board.present()
      if (life.joined && !life.ended()) count(life.status)
      for (const { status, suspect } of members()) count(suspect ? "suspect" : status)
      for (const { incarnation, record } of view.peers.values()) {
        if (view.ended.has(incarnation)) count(record.status === "left" ? "left" : "dead")
      }
      return counts
    }
  }
}

/**
 * A greeter is believed as far as the store bears it out. A greeter that was not (yet) read there is no member, is told so,
 * and is looked for at once. It must not count this instance's silence while this instance does not ask it.
 */
export const hello = (view: MemberTable, elapsed: SuspendAwareClock, life: IncarnationState, from: Peer): Greeting => {
  // while joining there is none yet, and the present one is another's
  const mine = life.incarnation === view.incarnation
  if (mine && life.ended()) return { incarnation: undefined, counted: false, acts: false }
  const counted = view.hear(from)
  if (!counted && view.meet(from, elapsed.mark().monotonic)) view.look()
  return { incarnation: view.incarnation, counted, acts: mine && life.valid() }
}

/** Whether the store can be read here; if not, this instance promises to listen anew from its next good read on. */
export const ask = (view: MemberTable, elapsed: SuspendAwareClock, over: boolean, from: Peer): LeaseProbe => {
  if (over) return { incarnation: undefined, verdict: undefined }
  const { incarnation } = view
  if (view.ended.has(from.incarnation)) return { incarnation, verdict: "fenced" }
  // on its way with unknown outcome: nothing can be promised any more
  if (view.fencing.has(from.incarnation)) return { incarnation, verdict: "reached" }
  if (view.listeningSince !== undefined) {
    if (view.lastGood === undefined || elapsed.since(view.lastGood) > ANSWERED_READ_AGE_MS) view.look()
    return { incarnation, verdict: "reached" }
  }
  return { incarnation, verdict: "not-reached" }
}
