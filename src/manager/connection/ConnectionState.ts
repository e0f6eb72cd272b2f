/**
 * What one connection is doing, and every change of that.
 *
 * Each field is changed by the methods alone, which are named for what has happened; the groups say which code calls them. What
 * changes together is one method, and what excludes each other is one field.
 */
import * as Effect from "effect/Effect"
import type { OneShot } from "../../common/OneShot.js"
import {
  CONNECTED,
  type ConnectionStatus,
  RECONNECTING,
  shouldBeUp,
  type StatusChange,
  transition
} from "../../domain/ConnectionStatus.js"
import { ConnectionNotOpen, type DialFailed, type InvalidRequest, type TargetForbidden } from "../../domain/Errors.js"
import type { ResolvedSpec } from "../../domain/Spec.js"
import type { Correlator } from "../../messaging/correlation/Correlator.js"
import type { Lane } from "../../messaging/publish/Lane.js"
import type { Owned } from "../../ownership/ConnectionStore.js"
import type { Session } from "../../socket/wire/Session.js"
import * as Migration from "./MigrationState.js"

/** ConnectionNotOpen: the connection was removed, or dialled anew, before this dial came to an end. */
export type StartFailure = DialFailed | TargetForbidden | ConnectionNotOpen

export type FirstDial = OneShot<void, StartFailure>

/**
 * Nothing acts for it any more in `removed`; its loop may still run in `removing`. `stopping`: halted, until it is started
 * again.
 */
export type ConnectionPhase = "active" | "stopping" | "removing" | "removed"

/** What the methods below see of a connection: they alone may change its fields, and the compiler refuses it to all others. */
type Own = { -readonly [K in keyof ConnectionState]: ConnectionState[K] }

export abstract class ConnectionState {
  readonly id: string
  readonly epoch: number
  readonly status: ConnectionStatus
  readonly phase: ConnectionPhase = "active"
  readonly migration: Migration.MigrationState = Migration.NONE
  /** open under this owner before: the next loss is a reconnect */
  readonly everOpen: boolean = false
  readonly sequence: number = 0
  readonly lastFrameAt: number = 0
  readonly lastWasBinary: boolean | undefined = undefined
  readonly connectedAt: number = 0
  readonly attempts: number = 0
  readonly lastError: string
  readonly lastCloseCode: number
  readonly sent: number = 0
  readonly topic: string
  readonly lane: Lane | undefined = undefined
  readonly session: Session | undefined = undefined
  /** a first dial that fails ends it all: the caller that waits for it removes it */
  readonly failFast: boolean = false
  /** Connect has not answered yet; on failure the connection vanishes without an event */
  readonly unacknowledged: boolean = false
  /** how often its frames took too long of late, and since when that is counted: steady milliseconds */
  readonly expensiveTurns: number = 0
  readonly expensiveSince: number = 0
  /** its socket was cut because the lease was lost: not the peer's doing */
  readonly cutForLease: boolean = false
  /** why its stored spec may not be acted for; only removing it is left */
  readonly refused: InvalidRequest | undefined = undefined
  /** the first dial of the present start */
  readonly firstDial: FirstDial | undefined = undefined
  /** waits for it */
  readonly opening: Effect.Effect<void, StartFailure> = Effect.void
  /** the lane is full: the socket is not read */
  readonly paused: boolean = false
  /** told once, when the present start has come to an end */
  readonly whenSettled: ((open: boolean) => void) | undefined = undefined
  /** open under a former owner: what is dialled now was open, and will be again */
  readonly wasUp: boolean

  constructor(
    readonly owned: Owned,
    readonly spec: ResolvedSpec,
    readonly correlator: Correlator
  ) {
    const record = owned.record()
    this.id = owned.id
    this.epoch = owned.epoch
    this.status = record.status
    this.wasUp = record.status === CONNECTED || record.status === RECONNECTING
    this.topic = record.topic
    this.lastError = record.lastError
    this.lastCloseCode = record.lastCloseCode
  }

  // --- phase: written by the Supervisor

  /** Removed, or to be: nothing dials for it any more. */
  isGone(): boolean {
    return this.phase === "removing" || this.phase === "removed"
  }
  /** Told to stop: nothing more is sent, and the end of its socket is no loss. */
  isHalted(): boolean {
    return this.phase === "stopping" || this.phase === "removed"
  }
  /** A start; `failFast` says what a failure of its first dial ends. */
  started(this: Own, first: FirstDial, failFast: boolean): void {
    this.firstDial = first
    this.opening = first.wait
    this.phase = "active"
    this.failFast = failFast
  }
  /** It is gone, and was to be started: the waiters for the open hear so. */
  startRefused(this: Own): void {
    this.opening = new ConnectionNotOpen({ id: this.id, status: this.status })
  }
  halted(this: Own): void {
    this.phase = this.isGone() ? "removed" : "stopping"
  }
  removing(this: Own): void {
    this.phase = this.phase === "stopping" ? "removed" : "removing"
    tellGone(this)
  }
  removed(this: Own): void {
    this.phase = "removed"
    tellGone(this)
  }
  /** Reconnect: what was counted against the peer is forgotten. */
  restarted(this: Own): void {
    this.attempts = 0
    this.expensiveTurns = 0
    this.change("restart")
  }
  /** Its caller is gone, and finds it again by its request_id: it is dialled on. */
  keptWithoutCaller(this: Own): void {
    this.failFast = false
  }

  // --- the answer to Connect: written by Connect

  created(this: Own): void {
    this.unacknowledged = true
  }
  acknowledged(this: Own): void {
    this.unacknowledged = false
  }
  specRefused(this: Own, refused: InvalidRequest | undefined): void {
    this.refused = refused
  }

  // --- the socket: written by the connection's own loop

  dialBegins(this: Own): void {
    this.cutForLease = false
  }
  /** The handshake is done. `at`: milliseconds since 1970. */
  opened(this: Own, session: Session, at: number): void {
    this.session = session
    if (this.paused) session.pause()
    this.connectedAt = at
    this.change("opened")
  }
  /** The waiters for the open have been told by now; the wait of later callers holds nothing. */
  openTold(this: Own, first: boolean): void {
    if (first) this.opening = Effect.void
    settle(this, true)
  }
  /** An ordinary frame came, milliseconds since 1970. Answers with the sequence that it takes. */
  protected frameArrived(this: Own, at: number, binary: boolean): number {
    this.lastFrameAt = at
    this.lastWasBinary = binary
    return ++this.sequence
  }
  /** The socket has ended: requests without an answer are aborted. */
  sessionEnded(this: Own): void {
    if (this.session === undefined) return
    this.session = undefined
    this.correlator.abort()
  }
  closedWith(this: Own, code: number): void {
    this.lastCloseCode = code
  }
  /** Consecutive dials that failed; 0 once a socket was stable. */
  attempted(this: Own, attempts: number): void {
    this.attempts = attempts
  }
  failedWith(this: Own, error: string): void {
    this.lastError = error
  }
  /** A turn of the event loop took too long over its frames. `now`: steady milliseconds. */
  tookTooLong(this: Own, now: number, withinMs: number): void {
    const first = this.expensiveTurns === 0 || now - this.expensiveSince > withinMs
    if (first) this.expensiveSince = now
    this.expensiveTurns = first ? 1 : this.expensiveTurns + 1
  }
  /** The lease was lost, and its socket is about to be cut for it. */
  leaseLost(this: Own): void {
    this.cutForLease = true
  }
  messageSent(this: Own): void {
    this.sent++
  }

  change(this: Own, change: StatusChange): void {
    this.status = transition(this.status, change, this.everOpen || this.wasUp)
    if (this.status === CONNECTED) this.everOpen = true
    else this.connectedAt = 0
    if (!shouldBeUp(this.status)) settle(this, false)
  }
  /** `f` is called once: when its socket is open and the handshake done, or when that is not to be had any more. */
  onceSettled(this: Own, f: (open: boolean) => void): void {
    this.whenSettled = f
  }

  // --- topic and lane: written by what publishes

  /** Frames that come from now on go there, and are stamped by this spec. "": nowhere. */
  publishesTo(this: Own, topic: string, publishing: ResolvedSpec["publishing"] = this.spec.publishing): void {
    this.topic = topic
    if (publishing !== this.spec.publishing) this.spec = { ...this.spec, publishing }
  }
  laneOpened(this: Own, lane: Lane): void {
    this.lane = lane
  }
  /** The lane that was there. The socket is left as it is. */
  laneClosed(this: Own): Lane | undefined {
    const { lane } = this
    this.lane = undefined
    return lane
  }
  /** The lane is full. */
  pauseReading(this: Own): void {
    this.paused = true
    this.session?.pause()
  }
  resumeReading(this: Own): void {
    this.paused = false
    this.session?.resume()
  }
  /** The lane that paused it is gone, and its socket is cut: the next one is read from the beginning. */
  pauseForgotten(this: Own): void {
    this.paused = false
  }

  // --- a planned move: written by its two ends

  isMoving(): boolean {
    return this.migration._tag === "Source"
  }
  /** Given away with an overlap: its socket is used on until the target's is open, and not dialled anew. */
  isOverlapping(): boolean {
    return this.migration._tag === "Source" && this.migration.overlap
  }
  /** Its frames wait. */
  isHeld(): boolean {
    return Migration.isHeld(this.migration)
  }
  moveBegun(this: Own, over: Effect.Effect<void>): void {
    this.migration = Migration.begun(this.migration, over)
  }
  moveOverlaps(this: Own, overlap: boolean): void {
    this.migration = Migration.changed(this.migration, { overlap })
  }
  /** The target may publish from now on. */
  publishingHeld(this: Own): void {
    this.migration = Migration.changed(this.migration, { held: true })
  }
  publishingReleased(this: Own): void {
    this.migration = Migration.released(this.migration)
  }
  moveEnded(this: Own): void {
    this.migration = Migration.ended(this.migration)
  }
  /** From an owner that keeps its socket until this one's is open, at most until then: steady milliseconds. */
  movedHere(this: Own, confirmBy: number): void {
    this.migration = Migration.received(confirmBy)
  }
}

const settle = (c: Own, open: boolean): void => {
  const told = c.whenSettled
  c.whenSettled = undefined
  told?.(open)
}

const tellGone = (c: Own): void => {
  Migration.givenUp(c.migration)
  settle(c, false)
}
