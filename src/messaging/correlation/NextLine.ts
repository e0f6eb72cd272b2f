/**
 * The requests in mode NEXT of one connection: one at a time, and the next frame is its reply.
 *
 * A reply carries no id here, so it is known by its place alone. A request that gave up after its message went out leaves
 * its place taken. The reply is still owed, and no other message goes out before it has come; it is an ordinary frame then.
 * Where it has not come after `NEXT_OWED_MS`, and others wait, the peer will hardly send it. Nothing then tells the frame
 * that comes next from the reply that is owed. The socket is out of step, and only a new one begins afresh.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { ByteBudget } from "../../common/ByteBudget.js"
import { BufferFull } from "../../domain/Errors.js"
import { CALLER } from "../../domain/Limits.js"
import * as NextTurns from "./NextTurns.js"
import { type RequestAborted, Waiter } from "./ReplyMatcher.js"

export interface NextLineOptions {
  /** what waits for its turn is taken from it */
  readonly budget: ByteBudget
  /** Others wait for a reply that will hardly come: a new socket is needed. */
  readonly outOfStep: () => void
}

export class NextLine {
  private readonly turns = NextTurns.make(() => this.owed !== undefined)
  /** the request whose reply is due */
  private present: Waiter | undefined
  /** a reply is due whose request has given up; its clock */
  private owed: Fiber.RuntimeFiber<void> | undefined
  /** it is overdue: the next request needs another socket */
  private overdue = false

  constructor(private readonly options: NextLineOptions) {}

  /** Whether the next frame is a reply, or one that is owed. */
  isDue(): boolean {
    return this.present !== undefined || this.owed !== undefined
  }

  /** A frame came that is no other mode's reply: the request it is for; undefined where none waits for it (any more). */
  next(): Waiter | undefined {
    const waiter = this.present
    this.present = undefined
    if (waiter === undefined && this.owed !== undefined) {
      this.forgive()
      this.turns.next()
    }
    return waiter
  }

  /** Runs the exchange when it is its turn; a message of so many bytes is kept until then. */
  run<A, E>(
    bytes: number,
    exchange: (waiter: Waiter) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | BufferFull | RequestAborted> {
    return Effect.suspend((): Effect.Effect<A, E | BufferFull | RequestAborted> => {
      const { budget, outOfStep } = this.options
      let kept = 0
      if (this.turns.isBusy()) {
        if (this.turns.waiting() >= CALLER.NEXT_WAITING || !budget.take(bytes)) {
          return new BufferFull({ what: "the line of Sends in mode NEXT" })
        }
        kept = bytes
        if (this.overdue) outOfStep()
      }
      const letGo = () => {
        budget.give(kept)
        kept = 0
      }
      const inTurn = Effect.suspend(() => {
        letGo()
        const waiter = new Waiter()
        this.present = waiter
        return Effect.ensuring(
          exchange(waiter),
          Effect.suspend(() => this.over(waiter))
        )
      })
      return Effect.ensuring(this.turns.take(inTurn), Effect.sync(letGo))
    })
  }

  /**
   * The socket ended: requests that wait for their turn are sent away, and nothing is owed any more. Returns the request
   * whose reply was due.
   */
  abort(): Waiter | undefined {
    const waiter = this.present
    this.present = undefined
    this.turns.abort()
    if (this.owed !== undefined) {
      this.forgive()
      this.turns.next()
    }
    return waiter
  }

  private over(waiter: Waiter): Effect.Effect<void> {
    if (this.present !== waiter) return Effect.void
    this.present = undefined
    if (!waiter.handed) return Effect.void
    const { outOfStep } = this.options
    const clock = Effect.gen(this, function* () {
      yield* Effect.sleep(CALLER.NEXT_OWED_MS)
      this.overdue = true
      if (this.turns.waiting() > 0) outOfStep()
    })
    return Effect.map(Effect.forkDaemon(Effect.interruptible(clock)), (fiber) => {
      this.owed = fiber
    })
  }

  private forgive(): void {
    this.owed?.unsafeInterruptAsFork(this.owed.id())
    this.owed = undefined
    this.overdue = false
  }
}
