/**
 * The store forgets everything. What is excused then, and nothing wider: a record or a page whose create was sent before, and
 * landed after it all the same, for a life that has ended since. It stays as it is until its id is asked for, or its page.
 */
import type { StoreCall } from "../../src/testing/FaultyStore.js"
import { CONNECTIONS } from "./Limits.js"

interface Create {
  readonly instance: number
  /** when it gets to the store, milliseconds since the start */
  readonly lands: number
  /** how often the store had been emptied before it was sent */
  readonly after: number
}

export class Emptied {
  /** the latest time, milliseconds since the start */
  at = -Infinity
  private times = 0
  /** ids whose record stood in the store then */
  private readonly stood = new Set<string>()
  private readonly creates = new Map<string, Array<Create>>()
  /** key and incarnation of what was sent before and landed after */
  private readonly late = new Set<string>()

  /** A call that will get to the store leaves its instance. */
  sent(instance: number, { key, operation }: StoreCall, lands: number): void {
    if (operation !== "create") return
    const creates = this.creates.get(key) ?? []
    this.creates.set(key, creates)
    creates.push({ instance, lands, after: this.times })
  }

  /** The store is about to forget all this. */
  now(at: number, rows: Iterable<readonly [string, Readonly<Record<string, unknown>>]>): void {
    this.at = at
    this.times++
    for (const [key, row] of rows) {
      if (key.startsWith(CONNECTIONS) && row["tombstone"] !== true) this.stood.add(key.slice(CONNECTIONS.length))
    }
  }

  /** A create of this life of the instance has just landed: whether it was sent before the store was emptied. */
  lands(key: string, incarnation: string, instance: number | undefined, now: number): boolean {
    const isIt = (sent: Create) => sent.instance === instance && sent.lands === now
    const late = this.creates.get(key)?.some((sent) => isIt(sent) && sent.after < this.times) ?? false
    if (late) this.late.add(`${key} ${incarnation}`)
    return late
  }

  landedLate(key: string, incarnation: string): boolean {
    return this.late.has(`${key} ${incarnation}`)
  }

  /** Whether the store held a record of it then; once. */
  wasLost(id: string): boolean {
    return this.stood.delete(id)
  }
}
