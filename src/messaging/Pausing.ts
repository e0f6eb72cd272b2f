/** Overflow PAUSE: holds a connection up at its limits, and lets it go on once there is room. Only lanes that were full have one. */
import type { FrameBuffer } from "./FrameBuffer.js"
import type { Tally } from "./Tally.js"

export class Pausing {
  private paused = false

  constructor(
    private readonly buffer: FrameBuffer,
    private readonly tally: Tally,
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
