/**
 * Keeps a lease alive while the store is away for all (src/ownership/README.md, The store away for all).
 *
 * A beat that is overdue by an eighth of an interval makes this instance ask all members, again each eighth. A member that
 * answers `not-reached` promises to count this instance's silence anew, and so extends the lease as far as that peer goes. A lease
 * that ran out is never revived.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { decodeHeartbeat, hasEnded } from "../../domain/stored/InstanceRecord.js"
import { instanceKey } from "../../domain/stored/Keys.js"
import type { Peer } from "../../ports/Peers.js"
import { PROBE_RETRY_DELAY } from "../lease/LeaseTimings.js"
import type { PeerContext } from "./PeerContext.js"

/** Runs as long as the incarnation. */
export const renewal = (fleet: PeerContext): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { board, crashDetection, elapsed, life, me, peers, periods, store, view } = fleet
    const checking = new Set<string>()

    /**
     * This instance spoke with this one, or it with this instance: that its address refuses now is no accident of the
     * network.
     */
    const spoken = ({ id, incarnation }: Peer): boolean => {
      const known = view.peers.get(id)
      return known?.incarnation === incarnation && (known.heard || known.linked || known.greetedAt !== undefined)
    }

    /** Refused once already. A second refusal means that its process is gone, and cannot end this instance any more. */
    const exclude = (member: Peer) =>
      Effect.gen(function* () {
        if (!crashDetection || !spoken(member) || checking.has(member.incarnation)) return
        checking.add(member.incarnation)
        yield* Effect.sleep(PROBE_RETRY_DELAY)
        const again = yield* Effect.either(peers.hello(member.address, me))
        if (Either.isLeft(again) && again.left._tag === "PeerRefused" && life.valid()) view.goneFor(member.incarnation)
      }).pipe(Effect.ensuring(Effect.sync(() => checking.delete(member.incarnation))))

    /**
     * A member says that this incarnation has ended: the store knows better, and where it cannot be read the member is
     * believed.
     */
    const fencedBy = (member: Peer) =>
      Effect.gen(function* () {
        const read = yield* Effect.option(Effect.timeout(store.get(instanceKey(me.id)), periods.eighth))
        if (Option.isSome(read)) {
          // emptied, or of another version: that is the heartbeat's to find
          const record = Option.map(read.value, ({ value }) => decodeHeartbeat(me.id, value))
          if (Option.isNone(record) || Either.isLeft(record.value)) return
          if (!hasEnded(record.value.right, life.incarnation)) return
        }
        if (life.ended()) return
        board.end(life, "fenced")
        yield* Effect.logWarning(`fenced: instance ${member.id} says so; this instance stops acting`)
      })

    const ask = (member: Peer) =>
      Effect.gen(function* () {
        const mark = elapsed.mark()
        const asked = yield* Effect.either(peers.probeLease(member.address, me))
        if (Either.isLeft(asked)) {
          if (asked.left._tag === "PeerRefused") yield* exclude(member)
          return
        }
        if (!life.valid()) return
        const { incarnation, verdict } = asked.right
        if (incarnation === undefined) return
        if (incarnation === member.incarnation) {
          if (verdict === "not-reached") life.grant(incarnation, mark)
          return verdict === "fenced" ? yield* fencedBy(member) : undefined
        }
        // This instance itself answered, or a third: an address that is not its own alone. Else another incarnation of that
        // process: this one has ended
        if (incarnation === me.incarnation || view.isOfAnother(incarnation, member.id)) return
        view.goneFor(member.incarnation)
      }).pipe(Effect.timeoutOption(periods.deadline), Effect.asVoid)

    while (!life.ended()) {
      // while beats land there is nothing to do
      yield* Effect.sleep(Math.max(periods.eighth, periods.interval + periods.eighth - life.sinceBeat()))
      if (life.sinceBeat() < periods.interval + periods.eighth || !life.valid()) continue
      const members = view.members()
      if (members.length > 0) yield* Effect.forEach(members, (member) => Effect.forkScoped(ask(member)))
      else if (view.lastGood !== undefined) life.extendAlone(elapsed.mark())
    }
  })
