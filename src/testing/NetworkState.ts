/**
 * What passes between the processes of a `PeerNetwork`: which process listens at which address, what is cut, and what is on
 * its way.
 */
import * as Effect from "effect/Effect"
import type * as Runtime from "effect/Runtime"
import { type PeerService, PeerRefused, PeerSilent } from "../ports/Peers.js"

/** What answers at an address. */
export interface Serving {
  readonly desk: PeerService["Type"]
  readonly runtime: Runtime.Runtime<never>
}

/** What was sent, for judges: in the order of sending. */
export interface SentCall {
  readonly from: string
  readonly to: string
  readonly what: string
}

/** What passes between two addresses: one call, one stream, or one link. */
interface Exchange {
  readonly from: string
  readonly to: string
  broken: boolean
}

export class NetworkState {
  readonly sent: Array<SentCall> = []
  readonly bound = new Set<string>()
  readonly serves = new Map<string, Serving>()
  readonly cuts = new Set<string>()
  readonly frozen = new Set<string>()
  readonly refusing = new Set<string>()
  readonly exchanges = new Set<Exchange>()
  /** connections that were kept: a call on one has left as soon as it is made */
  private readonly kept = new Set<string>()
  private readonly waiting = new Set<() => void>()

  constructor(
    /** milliseconds one way */
    private readonly delay: (from: string, to: string) => number
  ) {}

  /** All waiters look again. */
  changed(): void {
    for (const check of Array.from(this.waiting)) check()
  }

  /** Standing links break: their users hear so, unless the way is cut. */
  breakAll(which: (exchange: Exchange) => boolean): void {
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

  /** One way, once nothing is in it. */
  travel(from: string, to: string): Effect.Effect<void> {
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
  exchange<A, E>(
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
}

export const pair = (a: string, b: string): string => [a, b].sort().join(" ")
