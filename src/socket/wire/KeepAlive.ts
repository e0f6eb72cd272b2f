/**
 * The clocks of an open socket: the two pings, the peer that is dead (nothing came), the feed that is stale (no data
 * frame).
 *
 * Armed from the start, not from the first frame. Time in which this side did not read does not count. A socket that this
 * side paused is never called dead. After a blocked event loop the frames that wait in the kernel get their chance to be
 * read. Each frame only stores a number; one timer a socket looks at them. Bytes that come are life too, those of a frame
 * that is not yet whole: the timer compares how many there were.
 */
import type { Guarded } from "../../common/CallbackGuard.js"
import type { ResolvedKeepAlive } from "../../domain/Spec.js"
import type { Timers } from "./Timers.js"

/** All that the clocks may do to a socket. */
export interface KeepAliveTarget extends Guarded {
  /** Sends a protocol ping. */
  readonly ping: () => void
  /** Sends the application-level ping, filled in. */
  readonly sendPing: () => void
  /** bytes that came, ever */
  readonly bytesRead: () => number
  /** The peer is dead (cut the socket), or its feed is idle. Called once. */
  readonly silent: (cause: "dead" | "idle") => void
  /** Asked right before each ping. */
  readonly mayAct: () => boolean
}

/**
 * A timer that is this late means that the event loop did not run, so that nothing was read. Reading then gets as much time
 * to catch up.
 */
const LATE_MS = 250

/**
 * How often the timer looks at the bytes within `deadAfterMs`. A peer may be called dead one such part of the time too
 * late.
 */
const LOOKS = 3

/** Pings go out up to a tenth early, so that sockets that opened together do not ping together for ever. */
const JITTER = 0.1

export class KeepAlive {
  private lastData: number
  private lastControl: number
  /** when the timer last found more bytes than before, without a whole frame */
  private lastBytes: number
  private lookedAt: number
  private bytes: number
  private nextPing: number
  private nextAppPing: number
  private isPaused = false
  private due = Infinity
  private disarm: (() => void) | undefined

  /** Armed from here on, until `stop` or until the target was told of its silence. */
  constructor(
    private readonly clocks: ResolvedKeepAlive,
    private readonly target: KeepAliveTarget,
    private readonly timers: Timers,
    private readonly random: () => number = Math.random
  ) {
    const now = timers.now()
    this.lastData = now
    this.lastControl = now
    this.lastBytes = now
    this.lookedAt = now
    this.bytes = target.bytesRead()
    this.nextPing = this.after(now, clocks.pingIntervalMs)
    this.nextAppPing = this.after(now, clocks.ping?.intervalMs ?? Infinity)
    this.arm()
  }

  /** A data frame came. */
  dataFrame(): void {
    this.lastData = this.timers.now()
  }
  /** A ping or pong came. */
  controlFrame(): void {
    this.lastControl = this.timers.now()
  }
  /** This side stopped reading. The clocks of the peer stand still until `resumed`, and then start anew. */
  paused(): void {
    this.isPaused = true
  }
  resumed(): void {
    if (!this.isPaused) return
    this.isPaused = false
    this.lastData = this.lastControl = this.lastBytes = this.timers.now()
    this.arm()
  }
  stop(): void {
    this.disarm?.()
  }

  private after(now: number, interval: number): number {
    return now + interval * (1 - JITTER * this.random())
  }
  private lastFrame(): number {
    return Math.max(this.lastData, this.lastControl)
  }
  /** If a frame came since the last look, that frame is the last sign of life; else new bytes are. */
  private look(now: number): void {
    const bytes = this.target.bytesRead()
    if (bytes !== this.bytes && this.lastFrame() < this.lookedAt) this.lastBytes = now
    this.bytes = bytes
    this.lookedAt = now
  }
  private arm(): void {
    this.disarm?.()
    const { deadAfterMs, idleAfterMs } = this.clocks
    const alive = Math.max(this.lastFrame(), this.lastBytes)
    const silence = this.isPaused ? Infinity : Math.min(alive + deadAfterMs, this.lastData + idleAfterMs)
    const look = this.isPaused ? Infinity : this.lookedAt + deadAfterMs / LOOKS
    this.due = Math.min(this.nextPing, this.nextAppPing, silence, look)
    if (this.due === Infinity) this.disarm = undefined
    else this.disarm = this.timers.after(this.due - this.timers.now(), () => this.tick(), this.target)
  }
  private tick(): void {
    const now = this.timers.now()
    const late = now - this.due
    if (late > LATE_MS) {
      this.lastData = Math.min(now, this.lastData + late + LATE_MS)
      this.lastControl = Math.min(now, this.lastControl + late + LATE_MS)
      this.lastBytes = Math.min(now, this.lastBytes + late + LATE_MS)
    }
    this.look(now)
    const silent = this.isPaused ? undefined : this.silence(now)
    if (silent !== undefined) return this.target.silent(silent)
    if (now >= this.nextPing) {
      this.nextPing = this.after(now, this.clocks.pingIntervalMs)
      if (this.target.mayAct()) this.target.ping()
    }
    if (now >= this.nextAppPing) {
      this.nextAppPing = this.after(now, this.clocks.ping?.intervalMs ?? Infinity)
      if (this.target.mayAct()) this.target.sendPing()
    }
    this.arm()
  }
  private silence(now: number): "dead" | "idle" | undefined {
    const { deadAfterMs, idleAfterMs } = this.clocks
    // summed as for the timer: a rounding could else make what is due look early, and arm the timer for no time at all
    if (now >= Math.max(this.lastFrame(), this.lastBytes) + deadAfterMs) return "dead"
    return now >= this.lastData + idleAfterMs ? "idle" : undefined
  }
}
