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

/** Nothing acts for it any more in `removed`; its loop may still run in `removing`. `stopping`: halted, until it is started again. */
export type ConnectionPhase = "active" | "stopping" | "removing" | "removed"

/** The same fields, for the class itself. */
export type Own = { -readonly [K in keyof ConnectionState]: ConnectionState[K] }

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
  private whenSettled: ((open: boolean) => void) | undefined = undefined
  /** open under a former owner: what is dialled now was open, and will be again */
  private readonly wasUp: boolean

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
  started(first: FirstDial, failFast: boolean): void {
    const { own } = this
    own.firstDial = first
    own.opening = first.wait
    own.phase = "active"
    own.failFast = failFast
  }
  /** It is gone, and was to be started: the waiters for the open hear so. */
  startRefused(): void {
    this.own.opening = new ConnectionNotOpen({ id: this.id, status: this.status })
  }
  halted(): void {
    this.own.phase = this.isGone() ? "removed" : "stopping"
  }
  removing(): void {
    const { own } = this
    own.phase = this.phase === "stopping" ? "removed" : "removing"
    this.tellGone()
  }
  removed(): void {
    const { own } = this
    own.phase = "removed"
    this.tellGone()
  }
  /** Reconnect: what was counted against the peer is forgotten. */
  restarted(): void {
    const { own } = this
    own.attempts = 0
    own.expensiveTurns = 0
    this.change("restart")
  }
  /** Its caller is gone, and finds it again by its request_id: it is dialled on. */
  keptWithoutCaller(): void {
    this.own.failFast = false
  }

  // --- the answer to Connect: written by Connect

  created(): void {
    this.own.unacknowledged = true
  }
  acknowledged(): void {
    this.own.unacknowledged = false
  }
  specRefused(refused: InvalidRequest | undefined): void {
    this.own.refused = refused
  }

  // --- the socket: written by the connection's own loop

  dialBegins(): void {
    this.own.cutForLease = false
  }
  /** The handshake is done. `at`: milliseconds since 1970. */
  opened(session: Session, at: number): void {
    const { own } = this
    own.session = session
    if (this.paused) session.pause()
    own.connectedAt = at
    this.change("opened")
  }
  /** Who waited for the open is told by now: the wait of later callers holds nothing. */
  openTold(first: boolean): void {
    const { own } = this
    if (first) own.opening = Effect.void
    this.settled(true)
  }
  /** The socket has ended: requests without an answer are aborted. */
  sessionEnded(): void {
    if (this.session === undefined) return
    const { own } = this
    own.session = undefined
    this.correlator.abort()
  }
  closedWith(code: number): void {
    this.own.lastCloseCode = code
  }
  /** Consecutive dials that failed; 0 once a socket was stable. */
  attempted(attempts: number): void {
    this.own.attempts = attempts
  }
  failedWith(error: string): void {
    this.own.lastError = error
  }
  /** A turn of the event loop took too long over its frames. `now`: steady milliseconds. */
  tookTooLong(now: number, withinMs: number): void {
    const { own } = this
    const first = this.expensiveTurns === 0 || now - this.expensiveSince > withinMs
    if (first) own.expensiveSince = now
    own.expensiveTurns = first ? 1 : this.expensiveTurns + 1
  }
  /** The lease was lost, and its socket is about to be cut for it. */
  leaseLost(): void {
    this.own.cutForLease = true
  }
  messageSent(): void {
    this.own.sent++
  }

  change(change: StatusChange): void {
    const { own } = this
    own.status = transition(this.status, change, this.everOpen || this.wasUp)
    if (this.status === CONNECTED) own.everOpen = true
    else own.connectedAt = 0
    if (!shouldBeUp(this.status)) this.settled(false)
  }
  /** `f` is called once: when its socket is open and the handshake done, or when that is not to be had any more. */
  onceSettled(f: (open: boolean) => void): void {
    this.whenSettled = f
  }

  // --- topic and lane: written by what publishes

  /** Frames that come from now on go there, and are stamped by this spec. "": nowhere. */
  publishesTo(topic: string, publishing: ResolvedSpec["publishing"] = this.spec.publishing): void {
    const { own } = this
    own.topic = topic
    if (publishing !== this.spec.publishing) own.spec = { ...this.spec, publishing }
  }
  laneOpened(lane: Lane): void {
    this.own.lane = lane
  }
  /** The lane that was there. The socket is left as it is. */
  laneClosed(): Lane | undefined {
    const { own } = this
    const { lane } = this
    own.lane = undefined
    return lane
  }
  /** The lane is full. */
  pauseReading(): void {
    const { own } = this
    own.paused = true
    this.session?.pause()
  }
  resumeReading(): void {
    const { own } = this
    own.paused = false
    this.session?.resume()
  }
  /** The lane that paused it is gone, and its socket is cut: the next one is read from the beginning. */
  pauseForgotten(): void {
    this.own.paused = false
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
  moveBegun(over: Effect.Effect<void>): void {
    this.own.migration = Migration.begun(this.migration, over)
  }
  moveOverlaps(overlap: boolean): void {
    this.own.migration = Migration.changed(this.migration, { overlap })
  }
  /** The target may publish from now on. */
  publishingHeld(): void {
    this.own.migration = Migration.changed(this.migration, { held: true })
  }
  publishingReleased(): void {
    this.own.migration = Migration.released(this.migration)
  }
  moveEnded(): void {
    this.own.migration = Migration.ended(this.migration)
  }
  /** From an owner that keeps its socket until this one's is open, at most until then: steady milliseconds. */
  movedHere(confirmBy: number): void {
    this.own.migration = Migration.received(confirmBy)
  }

  private tellGone(): void {
    Migration.givenUp(this.migration)
    this.settled(false)
  }

  private settled(open: boolean): void {
    const told = this.whenSettled
    this.whenSettled = undefined
    told?.(open)
  }

  /** The compiler refuses every assignment from outside; this is the class's own way to its fields. */
  protected get own(): Own {
    return this
  }
}
