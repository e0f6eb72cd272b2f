/**
 * A call on a connection goes to its owner: done here, or passed on once to the instance that the record names.
 *
 * It goes on to another instance only where it was certainly not executed. The peer said so, its host refused the dial, or
 * its owner had ended before. Where a call has left and no answer came, it is not run again.
 */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ManagerError, OwnerUnreachable, type StateStoreUnavailable } from "../../domain/Errors.js"
import type { Membership } from "../../membership/Membership.js"
import type { StoredConnections } from "../../ownership/records/StoredConnections.js"
import * as CallDeadline from "../../ports/CallDeadline.js"
import { type Peer, type PeerFailure, type Peers, PeerSilent } from "../../ports/Peers.js"
import { type ManagerContext, whenRecovered } from "../connection/ManagerContext.js"
import type { LocalManager } from "../LocalManager.js"

/** What a call needs to find its connection wherever it is. */
export interface RoutingContext {
  readonly core: ManagerContext
  readonly membership: Membership["Type"]
  readonly peers: Peers["Type"]
  readonly local: LocalManager["Type"]
  readonly browsing: StoredConnections
  readonly roster: MemberChanges
}

/** How long a call waits for the connection of an owner that is gone to be taken over, milliseconds. */
const TAKEOVER_WAIT = 2000
/** The first pause before the record is read again, and the longest, milliseconds. */
const LOOK_AGAIN = [50, 200] as const

export type Where = Data.TaggedEnum<{
  Here: {}
  /** there is no such connection */
  Nowhere: {}
  There: { readonly owner: Peer }
  /** its owner has ended, or is just coming to own it or ceasing to */
  Between: { readonly owner: string }
}>
export const Where = Data.taggedEnum<Where>()

const whereIs = ({ core, membership }: RoutingContext, id: string): Effect.Effect<Where, StateStoreUnavailable> =>
  Effect.gen(function* () {
    if (core.connections.has(id)) return Where.Here()
    if (core.removing.has(id)) return Where.Nowhere()
    const read = yield* core.store.read(id)
    if (Option.isNone(read)) return core.connections.has(id) ? Where.Here() : Where.Nowhere()
    const { incarnation, owner } = read.value
    if (owner === core.instanceId) yield* whenRecovered(core)
    if (core.connections.has(id)) return Where.Here()
    const found = yield* membership.addressOf(owner, incarnation)
    return Option.isNone(found) || owner === core.instanceId
      ? Where.Between({ owner })
      : Where.There({ owner: found.value })
  })

/** The one answer that says for certain: not executed, and not owned by the peer that answers. */
export const notExecuted = (error: { readonly _tag: string }): error is OwnerUnreachable =>
  error._tag === "OwnerUnreachable" && (error as OwnerUnreachable).executed === undefined

export interface AtOwner<A, E, R> {
  readonly here: Effect.Effect<A, E, R>
  /** see `whileAlive` */
  readonly there: (owner: Peer) => Effect.Effect<A, E | PeerFailure, R>
  /** it changes nothing: a call without an answer counts as not executed */
  readonly readOnly?: boolean
  /** An owner that has ended is not waited for: `here` claims the connection. */
  readonly claims?: boolean
  /** the longest wait for a takeover, if that is shorter than usual, milliseconds */
  readonly patienceMs?: number
}

/** Runs the call where the connection is, and says what became of it. `id` is canonical. */
export const atOwner = <A, E extends ManagerError, R>(
  reach: RoutingContext,
  id: string,
  call: AtOwner<A, E, R>
): Effect.Effect<A, E | OwnerUnreachable | StateStoreUnavailable, R> =>
  Effect.gen(function* () {
    const { core } = reach
    const remaining = yield* CallDeadline.remaining
    const calls = new CallsToOwners(Math.min(TAKEOVER_WAIT, remaining, call.patienceMs ?? TAKEOVER_WAIT))
    for (;;) {
      const where = yield* whereIs(reach, id)
      if (where._tag === "Nowhere") return yield* call.here
      if (where._tag === "Here" || (where._tag === "Between" && call.claims === true)) {
        const done = yield* Effect.either(call.here)
        if (Either.isRight(done)) return done.right
        if (!notExecuted(done.left)) return yield* Effect.fail(done.left)
        calls.notExecuted(done.left.owner)
      } else if (where._tag === "Between") calls.notExecuted(where.owner)
      else if (calls.mayAsk(where.owner)) {
        const done = yield* Effect.either(call.there(where.owner))
        if (Either.isRight(done)) return done.right
        const failure = done.left
        switch (failure._tag) {
          case "PeerRefused":
            lookAt(reach, where.owner)
            calls.refused(where.owner)
            break
          case "PeerSilent":
            lookAt(reach, where.owner)
            if (failure.sent && call.readOnly !== true) {
              return yield* new OwnerUnreachable({ owner: where.owner.id, executed: "unknown" })
            }
            calls.unreachable(where.owner)
            break
          default:
            if (!notExecuted(failure)) return yield* Effect.fail(failure as E)
            calls.notExecuted(where.owner.id)
        }
      }
      const pause = calls.pause(core.steady())
      if (pause === undefined) return yield* new OwnerUnreachable({ owner: calls.owner })
      if (pause > 0) yield* Effect.sleep(pause)
    }
  })

/** What one call has learnt of the owners it met. */
class CallsToOwners {
  /** the one met last */
  owner = ""
  /** the incarnation that cannot be reached: it is not asked again */
  private silent: string | undefined
  /** wait: for a takeover; look: at the record once more; stop: nothing has changed since */
  private next: "wait" | "look" | "stop" = "wait"
  private until: number | undefined
  private step: number = LOOK_AGAIN[0]

  /** `patience`: the longest wait, milliseconds */
  constructor(private readonly patience: number) {}

  mayAsk({ id, incarnation }: Peer): boolean {
    this.owner = id
    return this.silent !== incarnation
  }

  notExecuted(owner: string): void {
    this.owner = owner
    this.next = "wait"
  }

  unreachable({ id, incarnation }: Peer): void {
    this.owner = id
    this.silent = incarnation
    this.next = "look"
  }

  /** Its host says that no process listens there: it will be fenced at once. */
  refused(peer: Peer): void {
    this.unreachable(peer)
    this.next = "wait"
  }

  /** Milliseconds until the record is worth reading again; undefined: the call gives up. */
  pause(now: number): number | undefined {
    if (this.next === "stop") return undefined
    if (this.next === "look") {
      this.next = "stop"
      return 0
    }
    this.until ??= now + this.patience
    const left = this.until - now
    if (left <= 0) return undefined
    const pause = Math.min(this.step, left)
    this.step = Math.min(this.step * 2, LOOK_AGAIN[1])
    return pause
  }
}

/** A broken connection to a peer: whether its process is gone is looked at once, beside the call. */
const lookAt = ({ core, membership }: RoutingContext, peer: Peer): void => core.fork(membership.gone(peer))

/** Fails when this incarnation of the peer is known to have ended. */
const deathOf = ({ membership }: RoutingContext, { address, incarnation }: Peer) =>
  Effect.async<never, PeerSilent>((resume) => {
    const stop = membership.onInstance((event) => {
      if (event.name !== "instance-dead" || event.incarnation !== incarnation) return
      resume(new PeerSilent({ address, reason: "it is dead", sent: true }))
    })
    return Effect.sync(stop)
  })

/** A frozen peer gives no answer: the call ends when it is fenced at the latest. */
export const whileAlive = <A, E, R>(
  reach: RoutingContext,
  owner: Peer,
  call: Effect.Effect<A, E, R>
): Effect.Effect<A, E | PeerSilent, R> => Effect.raceFirst(call, deathOf(reach, owner))

/** A stream of the owner's: it ends with an error when the owner is gone, since what comes then is not its to tell. */
export const ownersStream = <A, E extends ManagerError>(
  reach: RoutingContext,
  owner: Peer,
  stream: Stream.Stream<A, E | PeerFailure>
): Stream.Stream<A, E | OwnerUnreachable> =>
  stream.pipe(
    Stream.interruptWhen(deathOf(reach, owner)),
    Stream.mapError((error) => {
      if (error._tag !== "PeerRefused" && error._tag !== "PeerSilent") return error
      lookAt(reach, owner)
      return new OwnerUnreachable({ owner: owner.id })
    })
  )

// ------------------------------------------------------------ followers of the fleet

interface MemberChanges {
  /** Done at the next change of the members after the asking. */
  readonly changed: () => Effect.Effect<void>
}

/** One listener for all followers. */
export const makeMemberChanges = ({
  onMembers
}: Membership["Type"]): Effect.Effect<MemberChanges, never, Scope.Scope> =>
  Effect.gen(function* () {
    let change = Deferred.unsafeMake<void>(FiberId.none)
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        onMembers(() => {
          const before = change
          change = Deferred.unsafeMake<void>(FiberId.none)
          Deferred.unsafeDone(before, Effect.void)
        })
      ),
      (stop) => Effect.sync(stop)
    )
    return { changed: () => Deferred.await(change) }
  })
