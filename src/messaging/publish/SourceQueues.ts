/** The sources of a topic that have something to send, in the order of their turns. */
import { type LINGERING, READY, type Source, type WAITING } from "./Source.js"
import type { Timer } from "./Timer.js"

export class ReadyQueue {
  private first: Source | undefined
  private last: Source | undefined
  length = 0

  push(source: Source): void {
    source.state = READY
    source.next = undefined
    if (this.last === undefined) this.first = source
    else this.last.next = source
    this.last = source
    this.length++
  }

  /** Only where `length` is above 0. */
  shift(): Source {
    const source = this.first!
    this.first = source.next
    if (this.first === undefined) this.last = undefined
    source.next = undefined
    this.length--
    return source
  }

  /** Whether they fill a request; each brings one entry, unless a request is ordered inside. */
  fills(entriesOfRequest: number, ordered: boolean): boolean {
    let entries = 0
    for (let source = this.first; source !== undefined; source = source.next) {
      entries += ordered ? source.entries() : 1
      if (entries >= entriesOfRequest) return true
    }
    return false
  }
}

/** The sources of a topic that have something to send, and wait for a time. */
export class DelayedQueue {
  private readonly asleep = new Set<Source>()

  constructor(private readonly alarm: Timer) {}

  add(source: Source, state: typeof LINGERING | typeof WAITING, wakeAt: number): void {
    source.state = state
    source.wakeAt = wakeAt
    this.asleep.add(source)
    this.alarm.set(wakeAt)
  }

  remove(source: Source): void {
    this.asleep.delete(source)
  }

  /** Calls `wake`, which removes it, for each whose time has come; when the next one's will, Infinity where there is none. */
  rouse(now: number, wake: (source: Source) => void): number {
    let next = Infinity
    for (const source of this.asleep) {
      if (source.wakeAt <= now) wake(source)
      else next = Math.min(next, source.wakeAt)
    }
    return next
  }
}
