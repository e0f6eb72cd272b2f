/**
 * An outcome that comes once, and its waiters. What a Deferred does, in a tenth of its memory: there are
 * several for each of thousands of connections.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

export class OneShot<A, E = never> {
  private exit: Exit.Exit<A, E> | undefined
  private waiting: Set<(exit: Exit.Exit<A, E>) => void> | undefined

  /** The first outcome counts; false: there was one already. */
  done(exit: Exit.Exit<A, E>): boolean {
    if (this.exit !== undefined) return false
    this.exit = exit
    const { waiting } = this
    this.waiting = undefined
    if (waiting !== undefined) for (const resume of waiting) resume(exit)
    return true
  }

  get isDone(): boolean {
    return this.exit !== undefined
  }

  get wait(): Effect.Effect<A, E> {
    return Effect.async<A, E>((resume) => {
      if (this.exit !== undefined) return resume(this.exit)
      const waiting = (this.waiting ??= new Set())
      waiting.add(resume)
      return Effect.sync(() => waiting.delete(resume))
    })
  }
}
