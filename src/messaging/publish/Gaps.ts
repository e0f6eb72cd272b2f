/** What a lane lost, told at most once a second for each cause, and once at the end. */
import { whenCallbackEnds } from "../../common/CallbackGuard.js"
import type { GapCause, Position } from "../../domain/ConnectionEvent.js"
import type { Frame } from "../../domain/Frame.js"
import type { Timer } from "./Timer.js"

export type LaneGapCause = Extract<GapCause, "overflow" | "publish">
export type OnGap = (cause: LaneGapCause, last: Position, first: Position, lost: number) => void

export const positionOf = (frame: Frame): Position => ({
  epoch: frame.origin.epoch,
  sequence: frame.sequence,
  at: frame.receivedAt
})

const PACE_MILLIS = 1000

/** What one lane lost by one cause and has not told yet. */
export class Gap {
  private lost = 0
  private last: Position | undefined
  private until: Frame | undefined
  private toldAt = -Infinity
  /** the first frame after the last loss, as soon as it is known */
  first: Frame | undefined

  constructor(readonly cause: LaneGapCause) {}

  /** Whether the frame after the last loss has still to come. */
  get unbounded(): boolean {
    return this.lost > 0 && this.first === undefined
  }

  get dueAt(): number {
    return this.lost > 0 ? this.toldAt + PACE_MILLIS : Infinity
  }

  /** `before` is the frame before the loss, `start` the position where there was none. */
  add(frames: number, until: Frame, before: Frame | undefined, start: Position, first: Frame | undefined): void {
    this.last ??= before === undefined ? start : positionOf(before)
    this.lost += frames
    this.until = until
    this.first = first
  }

  tell(now: number, onGap: OnGap): void {
    const { first, last, lost, until } = this
    if (lost === 0) return
    this.lost = 0
    this.last = this.first = this.until = undefined
    this.toldAt = now
    const next = { epoch: until!.origin.epoch, sequence: until!.sequence + 1, at: 0 }
    onGap(this.cause, last!, first === undefined ? next : positionOf(first), lost)
  }
}

/** A source of gaps to tell. */
export interface GapSource {
  /** Tells what is due; when the next is, Infinity when there is none. */
  readonly tellGaps: (now: number) => number
}

/** Tells the gaps of all lanes in time. The first is told at the end of the turn it came in, so that a burst is one gap. */
export class GapReporter {
  private readonly tellers = new Set<GapSource>()
  private readonly alarm: Timer
  private scheduled = false

  constructor(
    makeAlarm: (ring: () => void) => Timer,
    private readonly now: () => number,
    /** told of what telling a gap threw: it is one connection's, and node calls this for all */
    private readonly failed: (defect: unknown) => void
  ) {
    this.alarm = makeAlarm(() => this.run())
  }

  add(teller: GapSource): void {
    if (this.tellers.has(teller)) return
    this.tellers.add(teller)
    if (this.scheduled) return
    this.scheduled = true
    whenCallbackEnds(() => this.run())
  }

  remove(teller: GapSource): void {
    this.tellers.delete(teller)
  }

  close(): void {
    this.tellers.clear()
    this.alarm.cancel()
  }

  private tell(teller: GapSource, now: number): number {
    try {
      return teller.tellGaps(now)
    } catch (defect) {
      this.failed(defect)
      return Infinity
    }
  }

  private run(): void {
    this.scheduled = false
    const now = this.now()
    let next = Infinity
    for (const teller of this.tellers) {
      const due = this.tell(teller, now)
      if (due === Infinity) this.tellers.delete(teller)
      else next = Math.min(next, due)
    }
    // Thousands of lanes are due at thousands of times; they are told together, a little late.
    if (next !== Infinity) this.alarm.set(Math.max(next, now + TOGETHER_MILLIS))
  }
}

const TOGETHER_MILLIS = 50

/** What one lane has lost since it was last told, by cause. Only lanes that have lost something have one. */
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
