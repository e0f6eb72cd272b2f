/** What a lane holds, against its limits and the instance's: frames that wait, and those in a request. */
import type { TopicEvent } from "../domain/CloudEvent.js"
import type { Frame } from "../domain/Frame.js"
import type { ResolvedBuffer } from "../domain/Spec.js"
import { Backlog } from "./Backlog.js"
import { formPack } from "./Packing.js"
import type { Tally } from "./Tally.js"

export class FrameBuffer {
  private readonly queue = new Backlog<Frame>()
  private queuedBytes = 0
  /** not answered for, those that wait included */
  frames = 0
  bytes = 0
  /** At one frame more, or at more bytes than this, the overflow rule applies. PAUSE pauses when the limit is reached. */
  private readonly frameLimit: number
  private readonly byteLimit: number

  constructor(
    private readonly limits: ResolvedBuffer,
    private readonly tally: Tally
  ) {
    const { maxBytes, maxFrames, overflow } = limits
    this.frameLimit = overflow === "pause" ? maxFrames - 1 : maxFrames
    this.byteLimit = overflow === "pause" ? maxBytes - 1 : maxBytes
  }

  /** frames that wait */
  get waiting(): number {
    return this.queue.length
  }

  get first(): Frame | undefined {
    return this.queue.first
  }

  get last(): Frame | undefined {
    return this.queue.last
  }

  /** Whether so many bytes more go over the lane's own limits. */
  isFull(size: number): boolean {
    return this.frames >= this.frameLimit || this.bytes + size > this.byteLimit
  }

  get isHalfEmpty(): boolean {
    const { maxBytes, maxFrames } = this.limits
    return this.frames <= maxFrames / 2 && this.bytes <= maxBytes / 2
  }

  /** Whether what waits fills a pack. */
  holds(frames: number, bytes: number): boolean {
    return this.queue.length >= frames || this.queuedBytes >= bytes
  }

  push(frame: Frame): void {
    const size = frame.data.length
    const { tally } = this
    this.queue.push(frame)
    this.queuedBytes += size
    this.frames++
    this.bytes += size
    tally.frames++
    tally.bytes += size
  }

  /** The next one goes on its way; it still counts. */
  shift(): Frame {
    const frame = this.queue.shift()
    this.queuedBytes -= frame.data.length
    return frame
  }

  /** The next ones as a pack: see `formPack`. */
  shiftPack(maxFrames: number, maxBytes: number, maxEventBytes: number): ReadonlyArray<Frame> {
    const frames = formPack(this.queue, maxFrames, maxBytes, maxEventBytes)
    for (const frame of frames) this.queuedBytes -= frame.data.length
    return frames
  }

  /** These were answered for. */
  remove(frames: number, bytes: number): void {
    this.frames -= frames
    this.bytes -= bytes
    this.tally.remove(frames, bytes)
  }

  /** Takes an entry out of the sums; its frames. */
  forget(event: TopicEvent): number {
    if (event.kind === "frame") {
      this.remove(1, event.data.length)
      return 1
    }
    if (event.kind === "lifecycle") return 0
    let bytes = 0
    for (const frame of event.frames) bytes += frame.data.length
    this.remove(event.frames.length, bytes)
    return event.frames.length
  }
}
