/** `Peers` over the roads of a `PeerNetwork`: the peer's part runs in the peer's own runtime. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ManagerError } from "../domain/Errors.js"
import { CallDeadline, remaining } from "../ports/CallDeadline.js"
import { type PeerFailure, type Peers, type PeerService, PeerSilent } from "../ports/Peers.js"
import type { NetworkState } from "./NetworkState.js"
import { forever } from "./TestRuntime.js"

type Desk = PeerService["Type"]

/** Milliseconds, by the waiter's clock. */
export interface PeerNetworkOptions {
  /** deadline of hello, ask and link; half a heartbeat interval of the default settings */
  readonly deadlineMs?: number
  /** deadline of take and moved */
  readonly handoverMs?: number
  /** how long a forwarded call without a deadline of its own waits for a silent peer */
  readonly silenceMs?: number
}

/** What the process at `from` speaks through. */
export const make = (roads: NetworkState, options: PeerNetworkOptions, from: string): Peers["Type"] => {
  const { deadlineMs = 1_000, handoverMs = 2_000, silenceMs = 6_000 } = options

  const asked = <A>(to: string, what: string, patience: number, ask: (desk: Desk) => Effect.Effect<A>) =>
    roads.exchange({ from, to, what }, patience, ({ desk, runtime }) => inside(runtime, to, ask(desk)))

  const patience = Effect.flatMap(CallDeadline, (at) =>
    at === Infinity ? Effect.succeed(silenceMs) : Effect.map(remaining, (ms) => Math.max(0, ms))
  )

  /** A stream that begins within the caller's patience, and then lasts until its scope closes or the link breaks. */
  const streamed = (
    to: string,
    what: string,
    open: (desk: Desk) => Effect.Effect<Stream.Stream<unknown, ManagerError>, ManagerError, Scope.Scope>
  ) =>
    Effect.gen(function* () {
      const at = yield* CallDeadline
      const wait = yield* patience
      const items = yield* Mailbox.make<unknown, ManagerError | PeerFailure>(16)
      const begun = yield* Deferred.make<void, ManagerError | PeerFailure>()
      // the call lasts as long as the stream, so that a break ends it even while the stream is not read
      const call = roads.exchange({ from, to, what }, undefined, ({ desk, runtime }) =>
        inside(
          runtime,
          to,
          open(desk).pipe(
            Effect.tap(() => Deferred.succeed(begun, undefined)),
            Effect.flatMap(Stream.runForEach((item) => items.offer(item))),
            Effect.scoped,
            Effect.provideService(CallDeadline, at)
          )
        )
      )
      yield* Effect.forkScoped(
        Effect.onExit(call, (exit) => Effect.zipRight(Deferred.done(begun, exit), items.done(exit)))
      )
      yield* Effect.timeoutFail(Effect.zipRight(Deferred.await(begun), roads.travel(to, from)), {
        duration: wait,
        onTimeout: () => new PeerSilent({ address: to, reason: "it did not answer in time", sent: true })
      })
      return Stream.tap(Mailbox.toStream(items), () => roads.travel(to, from))
    })

  return {
    hello: (to, me) => asked(to, "hello", deadlineMs, (desk) => desk.hello(me)),
    probeLease: (to, me) => asked(to, "ask", deadlineMs, (desk) => desk.probeLease(me)),
    offerHandover: (to, me, handover) => asked(to, "take", handoverMs, (desk) => desk.offerHandover(me, handover)),
    confirmHandover: (to, me, id, epoch) =>
      asked(to, "moved", handoverMs, (desk) => desk.confirmHandover(me, id, epoch)),
    link: (to, me, up) => {
      let stands = false
      const link = roads.exchange({ from, to, what: "link", fresh: true }, undefined, ({ desk, runtime }) =>
        inside(runtime, to, desk.hello(me)).pipe(
          Effect.zipLeft(roads.travel(to, from)),
          Effect.timeoutFail({
            duration: deadlineMs,
            onTimeout: () => new PeerSilent({ address: to, reason: "it did not answer in time", sent: true })
          }),
          Effect.flatMap((greeting) => {
            stands = true
            up(greeting)
            return forever
          })
        )
      )
      const never = Effect.sleep(deadlineMs).pipe(
        Effect.zipRight(
          Effect.suspend(() =>
            stands
              ? forever
              : Effect.fail(new PeerSilent({ address: to, reason: "it did not answer in time", sent: true }))
          )
        )
      )
      return Effect.raceFirst(link, never).pipe(
        Effect.catchTag("PeerSilent", (silent) => (stands ? Effect.void : Effect.fail(silent)))
      )
    },
    call: (to, method, request) =>
      Effect.flatMap(Effect.zip(patience, CallDeadline), ([wait, at]) =>
        roads.exchange({ from, to, what: method }, wait, ({ desk, runtime }) =>
          inside(runtime, to, Effect.provideService(desk.call(method, request), CallDeadline, at))
        )
      ),
    send: (to, request) =>
      Stream.unwrapScoped(streamed(to, "Send", (desk) => Effect.succeed(desk.send(request)))) as ReturnType<
        Peers["Type"]["send"]
      >,
    open: (to, method, request) => streamed(to, method, (desk) => desk.open(method, request))
  }
}

/**
 * Runs with the peer's clock and services, and not before its scheduler lets it; a peer that ends in the middle of it gives
 * no answer.
 */
const inside = <A, E>(runtime: Runtime.Runtime<never>, to: string, effect: Effect.Effect<A, E>) =>
  Effect.async<A, E | PeerSilent>((resume) => {
    const fiber = Runtime.runFork(runtime)(effect, { immediate: false })
    let ours = false
    fiber.addObserver((exit) => {
      if (ours) return
      const gone = exit._tag === "Failure" && exit.cause._tag === "Interrupt"
      resume(gone ? Effect.fail(new PeerSilent({ address: to, reason: "it is stopping", sent: true })) : exit)
    })
    // not waited for: where the peer has died its fiber never ends
    return Effect.suspend(() => {
      ours = true
      return Effect.asVoid(Fiber.interruptFork(fiber))
    })
  })
