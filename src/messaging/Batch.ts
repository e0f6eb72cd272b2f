/** One request on its way to a topic: entries of several sources, side by side. */
import { encodedSize, encodedSizeBound, type TopicEvent } from "../domain/CloudEvent.js"
import type { Source } from "./Source.js"

export class Batch {
  readonly events: Array<TopicEvent> = []
  /** Whose entries they are, in the order of the entries: source i has the next `counts[i]`. */
  readonly sources: Array<Source> = []
  readonly counts: Array<number> = []
  startedAt = 0

  constructor(
    readonly maxEvents: number,
    /** encoded bytes that may still come in; Infinity: no limit */
    private room: number
  ) {}

  get full(): boolean {
    return this.events.length >= this.maxEvents
  }

  /** Puts an entry in; false where it has no room. The first one always has. */
  add(event: TopicEvent): boolean {
    if (this.room !== Infinity) {
      let size = encodedSizeBound(event)
      // The bound may be six times too much, which cuts a batch of large texts far too early.
      if (size > this.room) size = encodedSize(event)
      if (size > this.room && this.events.length > 0) return false
      this.room -= size
    }
    this.events.push(event)
    return true
  }
}
