/** The sources of a topic that have something to send, and wait for a time. */
import type { Alarm } from "./Alarm.js"
import type { LINGERING, Source, WAITING } from "./Source.js"

export class Sleepers {
  private readonly asleep = new Set<Source>()

  constructor(private readonly alarm: Alarm) {}

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
