/** What one lane has lost since it was last told, by cause. Only lanes that have lost something have one. */
import type { Position } from "../domain/ConnectionEvent.js"
import type { Frame } from "../domain/Frame.js"
import { Gap, type OnGap } from "./Gaps.js"

export class Losses {
  private overflow: Gap | undefined
  private publish: Gap | undefined

  constructor(
    /** the position before the lane's first frame */
    private readonly start: Position,
    private readonly onGap: OnGap
  ) {}

  /** A frame had no room; `before` is the one before it, `first` the one after it, where there is one already. */
  overflowed(frame: Frame, before: Frame | undefined, first: Frame | undefined): void {
    this.overflow ??= new Gap("overflow")
    this.overflow.add(1, frame, before, this.start, first)
  }

  /** The broker will never take these; `until` is the last of them. */
  refused(frames: number, until: Frame, before: Frame | undefined, first: Frame | undefined): void {
    this.publish ??= new Gap("publish")
    this.publish.add(frames, until, before, this.start, first)
  }

  /** A frame that has room ends the gap before it. */
  arrived(frame: Frame): void {
    if (this.overflow !== undefined && this.overflow.unbounded) this.overflow.first = frame
  }

  /** Tells what is due, or, at the end, everything; when the next is due, Infinity when there is none. */
  tell(now: number, atTheEnd: boolean): number {
    for (const gap of [this.overflow, this.publish]) {
      if (gap !== undefined && (gap.dueAt <= now || atTheEnd)) gap.tell(now, this.onGap)
    }
    return Math.min(this.overflow?.dueAt ?? Infinity, this.publish?.dueAt ?? Infinity)
  }
}
