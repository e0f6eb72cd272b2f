/**
 * The clocks of an open socket: the two pings, the peer that is dead (no frame of any kind), the feed that is stale (no
 * data frame).
 *
 * Armed from the start, not from the first frame. Time in which we did not read does not count: a socket that we paused
 * is never called dead, and after a blocked event loop the frames that wait in the kernel get their chance to be read.
 * Each frame only stores a number; one timer a socket looks at them.
 */
import type { ResolvedKeepAlive } from "../domain/Spec.js"
import type { Timers } from "./Timers.js"

/** All that the clocks may do to a socket. */
export interface KeepAliveTarget {
  /** Sends a protocol ping. */
  readonly ping: () => void
  /** Sends the application-level ping, filled in. */
  readonly sendPing: () => void
  /** The peer is dead (cut the socket), or its feed is idle. Called once. */
  readonly silent: (cause: "dead" | "idle") => void
  /** Asked right before each ping. */
  readonly mayAct: () => boolean
}

export interface KeepAlive {
  /** A data frame came. */
  readonly dataFrame: () => void
  /** A ping or pong came. */
  readonly controlFrame: () => void
  /** We stopped reading; the clocks of the peer stand still until `resumed`, and then start anew. */
  readonly paused: () => void
  readonly resumed: () => void
  readonly stop: () => void
}

/** A timer this much too late means that the event loop did not run, so that nothing was read; and what reading gets then. */
const LATE_MS = 250

/** Pings go out up to a tenth early, so that sockets that opened together do not ping together for ever. */
const JITTER = 0.1

export const make = (
  clocks: ResolvedKeepAlive,
  target: KeepAliveTarget,
  timers: Timers,
  random: () => number = Math.random
): KeepAlive => {
  const { deadAfterMs, idleAfterMs, pingIntervalMs } = clocks
  const appPingMs = clocks.ping?.intervalMs ?? Infinity
  const jittered = (interval: number) => interval * (1 - JITTER * random())

  const start = timers.now()
  let lastData = start
  let lastControl = start
  let nextPing = start + jittered(pingIntervalMs)
  let nextAppPing = start + jittered(appPingMs)
  let isPaused = false
  let due = Infinity
  let disarm = () => {}

  const arm = () => {
    disarm()
    const silence = isPaused
      ? Infinity
      : Math.min(Math.max(lastData, lastControl) + deadAfterMs, lastData + idleAfterMs)
    due = Math.min(nextPing, nextAppPing, silence)
    disarm = due === Infinity ? () => {} : timers.after(due - timers.now(), tick)
  }
  const tick = () => {
    const now = timers.now()
    const late = now - due
    if (late > LATE_MS) {
      lastData = Math.min(now, lastData + late + LATE_MS)
      lastControl = Math.min(now, lastControl + late + LATE_MS)
    }
    if (!isPaused) {
      const cause =
        now - Math.max(lastData, lastControl) >= deadAfterMs
          ? "dead"
          : now - lastData >= idleAfterMs
            ? "idle"
            : undefined
      if (cause !== undefined) return target.silent(cause)
    }
    if (now >= nextPing) {
      nextPing = now + jittered(pingIntervalMs)
      if (target.mayAct()) target.ping()
    }
    if (now >= nextAppPing) {
      nextAppPing = now + jittered(appPingMs)
      if (target.mayAct()) target.sendPing()
    }
    arm()
  }
  arm()

  return {
    dataFrame: () => {
      lastData = timers.now()
    },
    controlFrame: () => {
      lastControl = timers.now()
    },
    paused: () => {
      isPaused = true
    },
    resumed: () => {
      if (!isPaused) return
      isPaused = false
      lastData = lastControl = timers.now()
      arm()
    },
    stop: () => disarm()
  }
}
