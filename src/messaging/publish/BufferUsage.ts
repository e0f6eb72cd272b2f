/** What all buffers of an instance hold together, and the connections that wait for room in it. */
import { Listeners } from "../../common/Listeners.js"

/** What a frame holds beyond its payload: two objects and their places. Many small frames are memory too. */
const FRAME_OVERHEAD = 256
/** Paused connections go on when the sum is down to this part of the limit, so that they do not flap. */
const LOW = 7 / 8

export class BufferUsage {
  frames = 0
  bytes = 0
  /** lifecycle events */
  events = 0
  /** entries that the broker took, ever */
  published = 0
  /** paused lanes that have room of their own again */
  readonly starved = new Set<{ readonly resumeIfRoom: () => void }>()
  private readonly idle = new Listeners<[]>()

  /** what else is kept in the same room */
  others: () => number = () => 0

  constructor(private readonly maxBytes: number) {}

  private get taken(): number {
    return this.bytes + this.frames * FRAME_OVERHEAD + this.others()
  }

  get full(): boolean {
    return this.taken > this.maxBytes
  }

  get hasRoom(): boolean {
    return this.taken <= this.maxBytes * LOW
  }

  /** Frames and events that wait or are in a request. */
  get waiting(): number {
    return this.frames + this.events
  }

  remove(frames: number, bytes: number): void {
    this.frames -= frames
    this.bytes -= bytes
  }

  /** Calls back once nothing waits, until the returned function is called. */
  readonly onIdle = this.idle.add

  /** After anything was taken away. */
  settled(): void {
    if (this.starved.size > 0 && this.hasRoom) {
      const lanes = [...this.starved]
      this.starved.clear()
      for (const lane of lanes) lane.resumeIfRoom()
    }
    if (this.waiting === 0 && this.idle.size > 0) this.idle.tell()
  }
}
