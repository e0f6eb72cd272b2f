/**
 * One connection's bounded buffer towards one topic.
 *
 * Everything that the broker has not answered for counts: what waits and what is in a request. The overflow rules drop only
 * what waits.
 */
import * as Effect from "effect/Effect"
import type { TopicEvent } from "../../domain/CloudEvent.js"
import type { Position } from "../../domain/ConnectionEvent.js"
import { type Frame, FramePack } from "../../domain/Frame.js"
import type { Counter } from "../../observability/Metrics.js"
import type { BufferUsage } from "./BufferUsage.js"
import { FrameBuffer, Pausing } from "./FrameBuffer.js"
import { type GapReporter, type GapSource, Losses, positionOf } from "./Gaps.js"
import type { Lane, LaneOptions } from "./Lane.js"
import { type Batch, BLOCKED, LINGERING, READY, RESTING, Source } from "./Source.js"
import { MANY, type TopicQueue } from "./TopicQueue.js"

/** What the lanes of one topic share. */
export interface LaneContext {
  readonly queue: TopicQueue
  readonly tally: BufferUsage
  readonly gaps: GapReporter
  readonly published: Counter
  readonly dropped: { readonly [cause in "overflow" | "publish" | "lease"]: Counter }
  /** steady milliseconds */
  readonly now: () => number
  /** encoded bytes of one event; Infinity: no limit */
  readonly maxEventBytes: number
  /** Nothing is left of the lane: called once. */
  readonly retired: (lane: FrameLane) => void
}

export class FrameLane extends Source implements Lane, GapSource {
  private readonly buffer: FrameBuffer
  /** packed: how long the first frame waits for company */
  private lingerUntil = 0
  private pausing: Pausing | undefined
  private phase: "open" | "closed" | "discarded" | "retired" = "open"
  private lastTaken: Frame | undefined
  private lastTold: Frame | undefined
  private losses: Losses | undefined
  private waiters: Array<() => void> | undefined

  constructor(
    private readonly options: LaneOptions,
    private readonly host: LaneContext,
    /** the lane of the same connection towards the same topic that goes first */
    predecessor: FrameLane | undefined
  ) {
    super()
    this.buffer = new FrameBuffer(options.buffer, host.tally)
    if (predecessor !== undefined && predecessor.phase !== "retired") {
      this.state = BLOCKED
      predecessor.successor = this
    }
  }

  private successor: FrameLane | undefined

  get connectionId(): string {
    return this.options.connectionId
  }

  // ------------------------------------------------------------ from the connection

  offer(frame: Frame): void {
    const size = frame.data.length
    const { buffer } = this
    if (this.phase !== "open") return this.drop(1, "lease")
    if ((buffer.isFull(size) || this.host.tally.full) && !this.makeRoom(frame, size)) return
    buffer.push(frame)
    this.losses?.arrived(frame)
    if (this.state === RESTING) {
      const { lingerMs, packed } = this.options.publishing
      if (packed) this.lingerUntil = this.host.now() + lingerMs
      this.host.queue.wake(this)
    } else if (this.state === READY) {
      if (buffer.waiting === MANY) this.host.queue.hurry()
    } else if (this.state === LINGERING && this.packIsFull) this.host.queue.wake(this)
  }

  close(): void {
    if (this.phase !== "open") return
    this.phase = "closed"
    if (this.state === LINGERING) this.host.queue.wake(this)
    this.retireIfDone()
  }

  discard(): number {
    if (this.phase === "discarded" || this.phase === "retired") return 0
    this.phase = "discarded"
    const formed = this.formed
    this.formed = []
    let dropped = 0
    for (const event of formed) dropped += this.buffer.forget(event)
    while (this.buffer.waiting > 0) dropped += this.buffer.forget(this.buffer.shift())
    this.drop(dropped, "lease")
    this.host.tally.settled()
    this.retireIfDone()
    return dropped
  }

  get drained(): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (this.buffer.frames === 0) return resume(Effect.void)
      const waiter = () => resume(Effect.void)
      const waiters = (this.waiters ??= [])
      waiters.push(waiter)
      return Effect.sync(() => {
        const at = waiters.indexOf(waiter)
        if (at >= 0) waiters.splice(at, 1)
      })
    })
  }

  lastPublished(): Position {
    return this.lastTold === undefined ? this.options.start : positionOf(this.lastTold)
  }

  pendingFrames(): number {
    return this.buffer.frames
  }

  pendingBytes(): number {
    return this.buffer.bytes
  }

  // ------------------------------------------------------------ from the topic's queue

  mayPublish(): boolean {
    return this.options.mayPublish()
  }

  entries(): number {
    return this.formed.length + this.buffer.waiting
  }

  /** Only a frame that finds the lane at rest waits for company; what comes meanwhile goes with the next request. */
  dueAt(): number {
    if (this.formed.length > 0) return 0
    if (this.buffer.waiting === 0) return Infinity
    return this.phase === "open" && this.options.publishing.packed && !this.packIsFull ? this.lingerUntil : 0
  }

  override take(batch: Batch, most: number, now: number): number {
    if (this.options.publishing.packed || this.formed.length > 0) return super.take(batch, most, now)
    let taken = 0
    while (taken < most && this.buffer.waiting > 0 && batch.add(this.buffer.first!)) {
      this.lastTaken = this.buffer.shift()
      taken++
    }
    return taken
  }

  protected form(): TopicEvent {
    const { maxBytes, maxFrames, packed } = this.options.publishing
    if (!packed) return (this.lastTaken = this.buffer.shift())
    const frames = this.buffer.shiftPack(maxFrames, maxBytes, this.host.maxEventBytes)
    this.lastTaken = frames.at(-1)
    return new FramePack(frames[0]!.origin, frames)
  }

  published(events: ReadonlyArray<TopicEvent>, from: number, to: number): void {
    let frames = 0
    let bytes = 0
    for (let i = from; i < to; i++) {
      const event = events[i]!
      if (event.kind === "frame") {
        frames++
        bytes += event.data.length
        this.lastTold = event
      } else if (event.kind === "frames") {
        frames += event.frames.length
        for (const frame of event.frames) bytes += frame.data.length
        this.lastTold = event.frames.at(-1)
      }
    }
    this.buffer.remove(frames, bytes)
    this.options.counters.published += frames
    this.host.published.add(frames)
  }

  lost(event: TopicEvent, next: TopicEvent | undefined): void {
    const until = lastFrame(event)
    const frames = this.buffer.forget(event)
    this.drop(frames, "publish")
    this.lossesOf().refused(frames, until, this.lastTold, next === undefined ? this.buffer.first : firstFrame(next))
    this.host.gaps.add(this)
  }

  protected get ended(): boolean {
    return this.phase === "discarded"
  }

  protected abandoned(event: TopicEvent): void {
    this.drop(this.buffer.forget(event), "lease")
  }

  settled(): void {
    this.pausing?.resumeIfRoom()
    if (this.buffer.frames === 0) this.retireIfDone()
  }

  // ------------------------------------------------------------ overflow

  /** False: the frame itself is dropped. */
  private makeRoom(frame: Frame, size: number): boolean {
    const { overflow } = this.options.buffer
    if (overflow === "pause") {
      // A connection that buffers nothing may always bring one frame, however full the instance is.
      if (this.buffer.isFull(size) || this.buffer.frames > 0) this.pausingOf().pause()
      return true
    }
    if (this.buffer.frames === 0) return true
    if (overflow === "drop-newest") {
      this.overflowed(frame, this.buffer.last ?? this.lastTaken, undefined)
      return false
    }
    let freed = 0
    while (this.buffer.waiting > 0 && (this.buffer.isFull(size) || (freed < size && this.host.tally.full))) {
      const oldest = this.buffer.shift()
      freed += oldest.data.length
      this.buffer.forget(oldest)
      this.overflowed(oldest, this.lastTaken, this.buffer.first ?? frame)
    }
    return true
  }

  private overflowed(frame: Frame, before: Frame | undefined, first: Frame | undefined): void {
    this.drop(1, "overflow")
    this.lossesOf().overflowed(frame, before, first)
    this.host.gaps.add(this)
  }

  private pausingOf(): Pausing {
    const { onPause, onResume } = this.options
    return (this.pausing ??= new Pausing(this.buffer, this.host.tally, onPause, () => {
      if (this.phase === "open") onResume()
    }))
  }

  // ------------------------------------------------------------ bookkeeping

  tellGaps(now: number): number {
    return this.losses?.tell(now, this.phase === "retired") ?? Infinity
  }

  private lossesOf(): Losses {
    return (this.losses ??= new Losses(this.options.start, this.options.onGap))
  }

  private get packIsFull(): boolean {
    const { maxBytes, maxFrames } = this.options.publishing
    return this.buffer.holds(maxFrames, maxBytes)
  }

  private drop(frames: number, cause: "overflow" | "publish" | "lease"): void {
    this.options.counters.dropped += frames
    this.host.dropped[cause].add(frames)
  }

  private retireIfDone(): void {
    if (this.buffer.frames > 0) return
    if (this.waiters !== undefined) for (const waiter of this.waiters.splice(0)) waiter()
    if (this.phase === "open" || this.phase === "retired" || this.state === BLOCKED) return
    this.phase = "retired"
    const { gaps, now, queue, retired } = this.host
    this.pausing?.end()
    gaps.remove(this)
    this.tellGaps(now())
    retired(this)
    const { successor } = this
    this.successor = undefined
    if (successor === undefined) return
    successor.state = RESTING
    queue.wake(successor)
    successor.retireIfDone()
  }
}

const firstFrame = (event: TopicEvent): Frame | undefined =>
  event.kind === "frame" ? event : event.kind === "frames" ? event.frames[0] : undefined

const lastFrame = (event: TopicEvent): Frame =>
  event.kind === "frame" ? event : ((event as FramePack).frames.at(-1) as Frame)
