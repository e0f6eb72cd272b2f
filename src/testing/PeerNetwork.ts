/**
 * The network between managers of one process: `Peers` without sockets, for the test clock. Messages travel by the Effect
 * clock of whoever sends; the peer's part runs in the peer's own runtime.
 *
 *     const network = new PeerNetwork()
 *     const manager = network.serving(A).pipe(
 *       Layer.provideMerge(ManagerLayer.layer({ peers: network.layer(A), settings: { advertiseAddress: A } }))
 *     )
 *
 * As on a real one: an address where no process listens refuses; a process that is there and not yet (or no longer) serving
 * lets its callers wait; what is cut or frozen is silent and comes through late once that is over, unless its caller has
 * given up; when a process is gone its links break at once, unless the way to it is cut.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ManagerError } from "../domain/Errors.js"
import { CallDeadline, remaining } from "../ports/CallDeadline.js"
import { PeerDesk, type PeerFailure, PeerRefused, Peers, PeerSilent } from "../ports/Peers.js"

type Desk = PeerDesk["Type"]

export interface PeerNetworkOptions {
  /** deadline of hello, ask and link; half a heartbeat interval of the default settings */
  readonly deadlineMs?: number
  /** deadline of take and moved */
  readonly handoverMs?: number
  /** how long a forwarded call without a deadline of its own waits for a silent peer */
  readonly silenceMs?: number
}

/** What passes between two addresses: one call, one stream, or one link. */
interface Exchange {
  readonly from: string
  readonly to: string
  broken: boolean
}

interface Serving {
  readonly desk: Desk
  readonly runtime: Runtime.Runtime<never>
}

/** What was sent, for judges: in the order of sending. */
export interface SentCall {
  readonly from: string
  readonly to: string
  readonly what: string
}

export class PeerNetwork {
  readonly sent: Array<SentCall> = []
  /** milliseconds one way; may be changed at any time */
  delay: (from: string, to: string) => number = () => 0

  private readonly bound = new Set<string>()
  private readonly serves = new Map<string, Serving>()
  private readonly cuts = new Set<string>()
  private readonly frozen = new Set<string>()
  private readonly refusing = new Set<string>()
  /** connections that were kept: a call on one has left as soon as it is made */
  private readonly kept = new Set<string>()
  private readonly exchanges = new Set<Exchange>()
  private readonly waiting = new Set<() => void>()

  constructor(private readonly options: PeerNetworkOptions = {}) {}

  // ------------------------------------------------------------ what a test does

  /** What the process at this address speaks through. It listens there for as long as the layer lives. */
  layer(address: string): Layer.Layer<Peers> {
    return Layer.scoped(
      Peers,
      Effect.acquireRelease(
        Effect.sync(() => {
          this.listen(address)
          return this.peersOf(address)
        }),
        () => Effect.sync(() => this.crash(address))
      )
    )
  }

  /** Answers at this address by the desk, for as long as the layer lives. */
  serving(address: string): Layer.Layer<never, never, PeerDesk> {
    return Layer.scopedDiscard(
      Effect.gen(this, function* () {
        const serving: Serving = { desk: yield* PeerDesk, runtime: yield* Effect.runtime<never>() }
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            this.serves.set(address, serving)
            this.changed()
          }),
          () =>
            Effect.sync(() => {
              if (this.serves.get(address) === serving) this.serves.delete(address)
            })
        )
      })
    )
  }

  /** A process listens at this address. */
  listen(address: string): void {
    this.bound.add(address)
    this.frozen.delete(address)
    this.changed()
  }

  /** The process is gone: dials are refused, and what stood breaks. */
  crash(address: string): void {
    this.bound.delete(address)
    this.serves.delete(address)
    this.frozen.delete(address)
    this.breakAll((e) => e.from === address || e.to === address)
  }

  /** The process does nothing until `thaw`; its kernel still keeps its connections. */
  freeze(address: string): void {
    this.frozen.add(address)
  }

  thaw(address: string): void {
    this.frozen.delete(address)
    this.changed()
  }

  /** Nothing passes between the two. */
  cut(a: string, b: string): void {
    this.cuts.add(pair(a, b))
  }

  /** Heals one pair, or everything that was cut. */
  heal(a?: string, b?: string): void {
    if (a === undefined || b === undefined) this.cuts.clear()
    else this.cuts.delete(pair(a, b))
    this.changed()
  }

  /** Breaks what stands between the two, while both ports answer. */
  reset(a: string, b: string): void {
    this.breakAll((e) => pair(e.from, e.to) === pair(a, b))
  }

  /** A strange network: new dials to a process that lives are refused, or no longer. */
  refuse(address: string, refused = true): void {
    if (refused) this.refusing.add(address)
    else this.refusing.delete(address)
    this.changed()
  }

  /** Links and calls in flight, for leak checks. */
  get inFlight(): number {
    return this.exchanges.size
  }

  // ------------------------------------------------------------ the way of a message

  private changed(): void {
    for (const check of Array.from(this.waiting)) check()
  }

  private breakAll(which: (exchange: Exchange) => boolean): void {
    for (const exchange of this.exchanges) if (which(exchange)) exchange.broken = true
    for (const key of Array.from(this.kept)) {
      const [from = "", to = ""] = key.split(" ")
      if (which({ from, to, broken: false })) this.kept.delete(key)
    }
    this.changed()
  }

  private until(condition: () => boolean): Effect.Effect<void> {
    return Effect.async((resume) => {
      if (condition()) return resume(Effect.void)
      const check = () => {
        if (!condition()) return
        this.waiting.delete(check)
        resume(Effect.void)
      }
      this.waiting.add(check)
      return Effect.sync(() => this.waiting.delete(check))
    })
  }

  private isCut(from: string, to: string): boolean {
    return this.cuts.has(pair(from, to))
  }

  private travel(from: string, to: string): Effect.Effect<void> {
    const passes = () => !this.isCut(from, to) && !this.frozen.has(from) && !this.frozen.has(to)
    return Effect.suspend(() => {
      const ms = this.delay(from, to)
      return Effect.zipRight(ms > 0 ? Effect.sleep(ms) : Effect.void, this.until(passes))
    })
  }

  private refuses(address: string): boolean {
    return !this.bound.has(address) || this.refusing.has(address)
  }

  /** A kernel refuses, also where the process behind it is frozen; accepting takes the process. */
  private dial(from: string, to: string): Effect.Effect<void, PeerRefused> {
    const answered = () => !this.isCut(from, to) && !this.frozen.has(from) && (this.refuses(to) || !this.frozen.has(to))
    return Effect.suspend(() => {
      const ms = this.delay(from, to) * 2
      return ms > 0 ? Effect.sleep(ms) : Effect.void
    }).pipe(
      Effect.zipRight(this.until(answered)),
      Effect.zipRight(
        Effect.suspend(() => (this.refuses(to) ? Effect.fail(new PeerRefused({ address: to })) : Effect.void))
      )
    )
  }

  /**
   * One exchange from the dial to the answer. It ends at once when what it stands on breaks; `patience` bounds it.
   * `fresh` dials anew, whatever is kept.
   */
  private exchange<A, E>(
    call: { readonly from: string; readonly to: string; readonly what: string; readonly fresh?: boolean },
    patience: number | undefined,
    work: (serving: Serving, exchange: Exchange) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | PeerRefused | PeerSilent> {
    return Effect.suspend(() => {
      const { from, fresh = false, to, what } = call
      const key = `${from} ${to}`
      const exchange: Exchange = { from, to, broken: false }
      let left = false
      this.sent.push({ from, to, what })
      this.exchanges.add(exchange)
      const silent = (reason: string) => new PeerSilent({ address: to, reason, sent: left })
      const dialled = Effect.suspend(() =>
        !fresh && this.kept.has(key)
          ? Effect.void
          : Effect.map(this.dial(from, to), () => void (fresh || this.kept.add(key)))
      )
      const broke = Effect.zipRight(
        this.until(() => exchange.broken && !this.isCut(from, to)),
        Effect.suspend(() => silent("the link broke"))
      )
      const whole = Effect.gen(this, function* () {
        yield* dialled
        left = true
        yield* this.travel(from, to)
        yield* this.until(() => this.serves.has(to))
        const answer = yield* work(this.serves.get(to)!, exchange)
        yield* this.travel(to, from)
        return answer
      })
      return Effect.raceFirst(whole, broke).pipe(
        (effect) =>
          patience === undefined
            ? effect
            : Effect.timeoutFail(effect, { duration: patience, onTimeout: () => silent("it did not answer in time") }),
        Effect.ensuring(Effect.sync(() => this.exchanges.delete(exchange)))
      )
    })
  }

  // ------------------------------------------------------------ what the process at `from` speaks through

  private peersOf(from: string): Peers["Type"] {
    const { deadlineMs = 1_000, handoverMs = 2_000, silenceMs = 6_000 } = this.options

    const asked = <A>(to: string, what: string, patience: number, ask: (desk: Desk) => Effect.Effect<A>) =>
      this.exchange({ from, to, what }, patience, ({ desk, runtime }) => inside(runtime, to, ask(desk)))

    const patience = Effect.flatMap(CallDeadline, (at) =>
      at === Infinity ? Effect.succeed(silenceMs) : Effect.map(remaining, (ms) => Math.max(0, ms))
    )

    /** A stream that begins within the caller's patience, and then lasts until its scope closes or the link breaks. */
    const streamed = (
      to: string,
      what: string,
      open: (desk: Desk) => Effect.Effect<Stream.Stream<unknown, ManagerError>, ManagerError, Scope.Scope>
    ) =>
      Effect.gen(this, function* () {
        const at = yield* CallDeadline
        const wait = yield* patience
        const items = yield* Mailbox.make<unknown, ManagerError | PeerFailure>(16)
        const begun = yield* Deferred.make<void, ManagerError | PeerFailure>()
        // the call lasts as long as the stream, so that a break ends it, whoever reads
        const call = this.exchange({ from, to, what }, undefined, ({ desk, runtime }) =>
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
        yield* Effect.timeoutFail(Effect.zipRight(Deferred.await(begun), this.travel(to, from)), {
          duration: wait,
          onTimeout: () => new PeerSilent({ address: to, reason: "it did not answer in time", sent: true })
        })
        return Stream.tap(Mailbox.toStream(items), () => this.travel(to, from))
      })

    return {
      hello: (to, me) => asked(to, "hello", deadlineMs, (desk) => desk.hello(me)),
      ask: (to, me) => asked(to, "ask", deadlineMs, (desk) => desk.ask(me)),
      take: (to, me, handover) => asked(to, "take", handoverMs, (desk) => desk.take(me, handover)),
      moved: (to, me, id, epoch) => asked(to, "moved", handoverMs, (desk) => desk.moved(me, id, epoch)),
      link: (to, me, up) => {
        let stands = false
        const link = this.exchange({ from, to, what: "link", fresh: true }, undefined, ({ desk, runtime }) =>
          inside(runtime, to, desk.hello(me)).pipe(
            Effect.zipLeft(this.travel(to, from)),
            Effect.timeoutFail({
              duration: deadlineMs,
              onTimeout: () => new PeerSilent({ address: to, reason: "it did not answer in time", sent: true })
            }),
            Effect.flatMap((greeting) => {
              stands = true
              up(greeting)
              return Effect.never
            })
          )
        )
        const never = Effect.sleep(deadlineMs).pipe(
          Effect.zipRight(
            Effect.suspend(() =>
              stands
                ? Effect.never
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
          this.exchange({ from, to, what: method }, wait, ({ desk, runtime }) =>
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
}

const pair = (a: string, b: string): string => [a, b].sort().join(" ")

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
    return Effect.suspend(() => {
      ours = true
      return Effect.asVoid(Fiber.interrupt(fiber))
    })
  })
