/**
 * Says hello to each incarnation, and hears of crashes (src/ownership/README.md, Hearing of a crash).
 *
 * "Gone" are two things together: the link, which stood with that incarnation, broke, and new dials to its address are
 * refused twice, 100 ms apart. Anything else proves nothing and waits for the lease.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberMap from "effect/FiberMap"
import type * as Scope from "effect/Scope"
import type { Greeting, Peer } from "../../ports/Peers.js"
import { LINK_DIAL_DELAY, LINK_RETRY_DELAY, LINK_SILENT_DELAY } from "../lease/LeaseTimings.js"
import { NOWHERE } from "./ApplyRead.js"
import { fence } from "./Fence.js"
import type { Known } from "./MemberTable.js"
import type { PeerContext } from "./PeerContext.js"
import { neighbours } from "./Ring.js"

export interface PeerLinks {
  /** Greets and links the peers that the view knows now, and lets go of the others. */
  readonly tend: Effect.Effect<void>
  /**
   * Dials at once if the link is broken, for a caller that found another connection to this peer broken; done when something is
   * known.
   */
  readonly look: (peer: Peer) => Effect.Effect<void>
}

/** Everything it starts ends with the scope. */
export const make = (fleet: PeerContext): Effect.Effect<PeerLinks, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { crashDetection, elapsed, essentials, life, me, peers, periods, view } = fleet
    const { essential } = essentials
    const greetings = yield* FiberMap.make<string>()
    const links = yield* FiberMap.make<string>()
    const looking = new Set<string>()

    const lives = (known: Known): boolean => !life.ended() && view.living(known.incarnation) === known
    /**
     * It lives. The peer itself says from when on its silence may count: not while it would go on without asking this
     * instance.
     */
    const answered = (known: Known, { acts, counted }: Greeting): void => {
      const now = elapsed.mark().monotonic
      if (counted) known.greetedAt ??= now
      else if (acts) known.triedAt = now
    }
    const hello = (address: string) => Effect.timeoutOption(peers.hello(address, me), periods.deadline)

    /** Until it counts this instance as a member. */
    const greet = (known: Known) =>
      Effect.gen(function* () {
        while (lives(known) && known.greetedAt === undefined) {
          known.triedAt ??= elapsed.mark().monotonic
          const greeting = yield* Effect.either(Effect.flatten(hello(known.address)))
          if (Either.isRight(greeting)) {
            const { incarnation } = greeting.right
            if (incarnation === known.incarnation) answered(known, greeting.right)
            else if (incarnation === me.incarnation) known.mirrored = true
          }
          if (known.greetedAt === undefined) yield* Effect.sleep(LINK_RETRY_DELAY)
        }
      })

    const check = (known: Known): Effect.Effect<void> =>
      Effect.gen(function* () {
        let refused = 0
        let silent = 0
        while (lives(known) && refused < 2) {
          const result = yield* Effect.either(Effect.flatten(hello(known.address)))
          // something answers at that port, whichever process it is: that proves nothing
          if (Either.isRight(result)) return
          if (result.left._tag !== "PeerRefused") {
            refused = 0
            yield* Effect.sleep(silent++ === 0 ? LINK_DIAL_DELAY : LINK_SILENT_DELAY)
          } else if (++refused < 2) yield* Effect.sleep(LINK_DIAL_DELAY)
        }
        if (!lives(known)) return
        view.goneFor(known.incarnation)
        yield* fence(fleet, known, "refused")
      })

    /** The link that stood with this incarnation has broken. */
    const broken = (known: Known): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (!crashDetection || looking.has(known.incarnation)) return Effect.void
        looking.add(known.incarnation)
        return Effect.ensuring(
          check(known),
          Effect.sync(() => looking.delete(known.incarnation))
        )
      })

    const keep = (known: Known) =>
      Effect.gen(function* () {
        while (lives(known)) {
          const another = yield* Deferred.make<void>()
          const begun = elapsed.mark()
          let stood = false
          const link = peers.link(known.address, me, (greeting) => {
            if (greeting.incarnation !== known.incarnation) return Deferred.unsafeDone(another, Effect.void)
            stood = known.linked = known.standing = true
            answered(known, greeting)
          })
          const end = yield* Effect.either(Effect.raceFirst(link, Deferred.await(another)))
          known.standing = false
          const broke = Either.isRight(end) ? stood : end.left._tag === "PeerRefused" && known.linked
          if (broke) yield* broken(known)
          yield* Effect.sleep(stood && elapsed.since(begun) > periods.interval ? LINK_DIAL_DELAY : LINK_RETRY_DELAY)
        }
      }).pipe(
        // let go by this instance: that says nothing of the peer
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            known.linked = known.standing = false
          })
        )
      )

    const complained = new Set<string>()
    /** Another instance beats, and advertises the address at which this one answers: peers cannot tell the two apart. */
    const complain = (known: Known): Effect.Effect<void> =>
      Effect.suspend(() => {
        const { address, changedAt, id, incarnation, mirrored, since } = known
        if (!mirrored || changedAt === since || complained.has(incarnation)) return Effect.void
        complained.add(incarnation)
        return Effect.logError(
          `instance ${id} advertises ${address}, and that is where this instance (${me.id}, ${me.address}) answers: they cannot ` +
            "speak to each other. Set WSM_ADVERTISE_ADDRESS of each to an address where the others reach it, and it alone"
        )
      })

    const living = () => [...view.peers.values()].filter(({ incarnation }) => !view.ended.has(incarnation))

    return {
      tend: Effect.gen(function* () {
        const all = living()
        for (const known of all) {
          yield* complain(known)
          if (known.greetedAt !== undefined) continue
          // its address says nothing: its silence counts from now on
          if (known.address === NOWHERE) {
            known.triedAt ??= elapsed.mark().monotonic
            continue
          }
          yield* FiberMap.run(greetings, known.incarnation, essential("greeting of peers", greet(known)), {
            onlyIfMissing: true
          })
        }
        if (!crashDetection) return
        const near = neighbours(
          me.id,
          all.filter(({ address }) => address !== NOWHERE).map(({ id }) => id)
        )
        const wanted = new Map(near.map((id) => view.peers.get(id)!).map((known) => [known.incarnation, known]))
        for (const [incarnation] of Array.from(links)) {
          if (!wanted.has(incarnation) && !looking.has(incarnation)) yield* FiberMap.remove(links, incarnation)
        }
        for (const [incarnation, known] of wanted) {
          yield* FiberMap.run(links, incarnation, essential("links to peers", keep(known)), { onlyIfMissing: true })
        }
      }),
      look: (peer) =>
        Effect.suspend(() => {
          const known = view.living(peer.incarnation)
          // what broke was another connection: only a link that stood and stands no more makes a refusal its end
          return known?.linked === true && !known.standing ? broken(known) : Effect.void
        })
    }
  })
