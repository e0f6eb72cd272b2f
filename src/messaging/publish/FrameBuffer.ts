/** What a lane holds, against its limits and the instance's: frames that wait, and those in a request. */
import { Fifo } from "../../common/Fifo.js"
import { packedSize, packedSizeBound, type TopicEvent } from "../../domain/CloudEvent.js"
import type { Frame } from "../../domain/Frame.js"
import type { ResolvedBuffer } from "../../domain/Spec.js"
import type { BufferUsage } from "./BufferUsage.js"

export class FrameBuffer {
  private readonly queue = new Fifo<Frame>()
  private queuedBytes = 0
  /** not answered for, those that wait included */
  frames = 0
  bytes = 0
  /** At one frame more, or at more bytes than this, the overflow rule applies. PAUSE pauses when the limit is reached. */
  private readonly frameLimit: number
  private readonly byteLimit: number

  constructor(
    private readonly limits: ResolvedBuffer,
    private readonly tally: BufferUsage
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

// ------------------------------------------------------------ packs

// How many frames of a connection share one event.

/** What an event holds beside its frames, encoded; generous. */
const PACKED_EVENT_OVERHEAD_BYTES = 64 * 1024

/**
 * Takes the frames of the next pack: at least one, in order, of one origin. A pack has at most `maxFrames` frames and
 * `maxBytes` bytes of data, and no more than fits into one event as encoded. A frame over `maxBytes` is alone.
 *
 * For the size of the frames as encoded, an upper bound is enough. Only where the bound would end the pack is the size
 * itself counted.
 */
export const formPack = (
  queue: Fifo<Frame>,
  maxFrames: number,
  maxBytes: number,
  maxEventBytes: number
): ReadonlyArray<Frame> => {
  const first = queue.shift()
  const frames = [first]
  const room = maxEventBytes - PACKED_EVENT_OVERHEAD_BYTES
  let bytes = first.data.length
  let encoded = packedSizeBound(first)
  let sizeOf = packedSizeBound
  for (let frame = queue.first; frame !== undefined && frames.length < maxFrames; frame = queue.first) {
    bytes += frame.data.length
    if (frame.origin !== first.origin || bytes > maxBytes) break
    encoded += sizeOf(frame)
    if (encoded > room && sizeOf === packedSizeBound) {
      sizeOf = packedSize
      encoded = frames.reduce((sum, taken) => sum + packedSize(taken), packedSize(frame))
    }
    if (encoded > room) break
    frames.push(queue.shift())
  }
  return frames
}

/**
 * Overflow PAUSE: holds a connection up at its limits, and lets it go on once there is room. Only lanes that were full have
 * one.
 */
export class Pausing {
  private paused = false

  constructor(
    private readonly buffer: FrameBuffer,
    private readonly tally: BufferUsage,
    private readonly onPause: () => void,
    private readonly onResume: () => void
  ) {}

  pause(): void {
    if (this.paused) return
    this.paused = true
    this.onPause()
  }

  /** Once the buffer is down to half, or empty while the instance has little room. */
  resumeIfRoom(): void {
    if (!this.paused || !this.buffer.isHalfEmpty) return
    const { hasRoom, starved } = this.tally
    if (this.buffer.frames > 0 && !hasRoom) {
      starved.add(this)
      return
    }
    starved.delete(this)
    this.paused = false
    this.onResume()
  }

  /** Nothing comes any more that could go on. */
  end(): void {
    this.paused = false
    this.tally.starved.delete(this)
  }
}
