/**
 * One connection under this owner: what the doors show, what the socket feeds, what the record keeps.
 *
 * Plain mutable state with one writer at a time: the connection's own fiber for its life, the socket's callback for its
 * frames. `receive` is the hot path.
 */
import * as Effect from "effect/Effect"
import type { ByteBudget } from "../../common/ByteBudget.js"
import { Mutex } from "../../common/Mutex.js"
import type { OneShot } from "../../common/OneShot.js"
import type { Position } from "../../domain/ConnectionEvent.js"
import {
  CONNECTED,
  type ConnectionStatus,
  RECONNECTING,
  type StatusChange,
  transition
} from "../../domain/ConnectionStatus.js"
import type { ConnectionNotOpen, DialFailed, InvalidRequest, TargetForbidden } from "../../domain/Errors.js"
import { Frame, type FrameOrigin, OCTET_STREAM, TEXT_PLAIN } from "../../domain/Frame.js"
import type { Connection } from "../../domain/Messages.js"
import type { ResolvedSpec } from "../../domain/Spec.js"
import type { Correlator } from "../../messaging/correlation/Correlator.js"
import type { Lane } from "../../messaging/publish/Lane.js"
import type { ReaderBuffer } from "../../messaging/ReaderBuffer.js"
import type { Counter } from "../../observability/Metrics.js"
import type { Owned } from "../../ownership/ConnectionStore.js"
import type { Session } from "../../socket/wire/Session.js"
import type { EventSubject } from "../Events.js"

/** What a reader's buffer counts for a frame beside its data. */
const FRAME_BYTES = 64

export class ManagedConnection implements EventSubject {
  readonly id: string
  readonly epoch: number
  status: ConnectionStatus
  /** open under this owner before: the next loss is a reconnect */
  everOpen = false
  sequence = 0
  lastFrameAt = 0
  lastWasBinary: boolean | undefined
  connectedAt = 0
  attempts = 0
  lastError: string
  lastCloseCode: number
  sent = 0
  readonly counters = { published: 0, dropped: 0 }
  topic: string
  lane: Lane | undefined
  session: Session | undefined
  /** told to stop: nothing more is sent, and the end of its socket is no loss */
  stopping = false
  /** handed over with an overlap: its socket is used on until the target's is open, and not dialled anew */
  overlapping = false
  /** received with an overlap: until then its former owner may have a socket too; steady milliseconds */
  sharedUntil = 0
  /** a first dial that fails ends it all: whoever waits for it removes it */
  failFast = false
  /** how often its frames took too long of late, and since when that is counted: steady milliseconds */
  tooExpensive = { times: 0, since: 0 }
  /** no caller was answered that it exists */
  unacknowledged = false
  /** its socket was cut because the lease was lost: not the peer's doing */
  cutForLease = false
  /** why its stored spec may not be acted for; only removing it is left */
  refused: InvalidRequest | undefined
  /** given up, or removed: nothing dials for it any more */
  gone = false
  /** being handed over to another instance: done when that has come to an end */
  moving: Effect.Effect<void> | undefined
  /** its frames wait: another instance publishes what it read before, or may do so at any moment */
  publishingHeld = false
  /** called when its socket is open and the handshake done */
  whenOpen: (() => void) | undefined
  /** the first dial of the present start */
  firstDial: FirstDial | undefined
  /** waits for it */
  opening: Effect.Effect<void, StartFailure> = Effect.void
  /** the lane is full: the socket is not read */
  paused = false
  /** one change at a time: of tags, of the topic; each waits for the store */
  readonly changing = new Mutex()
  /** one at a time: who dials, and who ends that; never waits for the store */
  readonly dialling = new Mutex()
  readonly readers = new Set<ReaderBuffer<Frame>>()
  /** open under a former owner: what is dialled now was open, and will be again */
  private readonly wasUp: boolean
  private origin: FrameOrigin

  constructor(
    readonly owned: Owned,
    readonly instanceId: string,
    public spec: ResolvedSpec,
    readonly correlator: Correlator,
    /** what is kept to be sent on it */
    readonly budget: ByteBudget,
    /** what the former owner knew of the stream; undefined: nobody owned it before */
    readonly inherited: Position | undefined,
    private readonly now: () => number,
    /** what a frame is stamped with */
    private readonly turnTime: () => number,
    private readonly received: Counter
  ) {
    const record = owned.record()
    this.id = owned.id
    this.epoch = owned.epoch
    this.status = record.status
    this.wasUp = record.status === CONNECTED || record.status === RECONNECTING
    this.topic = record.topic
    this.lastError = record.lastError
    this.lastCloseCode = record.lastCloseCode
    this.origin = this.makeOrigin()
  }

  readonly tags = (): Readonly<Record<string, string>> => this.owned.record().tags

  /** Every ordinary frame, synchronously, in order of arrival. */
  readonly receive = (data: Buffer, binary: boolean): void => {
    if (this.correlator.waiting() && this.correlator.tryMatch(data, binary, this.spec.maxReplyBytes)) return
    const at = this.turnTime()
    const frame = new Frame(this.origin, ++this.sequence, at, binary, data)
    this.lastFrameAt = at
    this.lastWasBinary = binary
    this.received.value++
    if (this.lane !== undefined) this.lane.offer(frame)
    if (this.readers.size !== 0) for (const reader of this.readers) reader.offer(frame, data.length + FRAME_BYTES)
  }

  /** Frames that come from now on are stamped by the present spec (StartPublish may change the content type of text). */
  restamp(): void {
    this.origin = this.makeOrigin()
  }

  change(change: StatusChange): void {
    this.status = transition(this.status, change, this.everOpen || this.wasUp)
    if (this.status === CONNECTED) this.everOpen = true
    else this.connectedAt = 0
  }

  /** The last frame that took a sequence. */
  readonly position = (): Position => ({ epoch: this.epoch, sequence: this.sequence, at: this.lastFrameAt })

  /** What stands in the lists and answers. */
  readonly view = (): Connection => {
    const record = this.owned.record()
    return {
      id: this.id,
      url: this.spec.shownUrl,
      status: this.status,
      topic: this.topic,
      instanceId: this.instanceId,
      contentType: this.lastWasBinary === undefined ? "" : this.lastWasBinary ? OCTET_STREAM : TEXT_PLAIN,
      tags: record.tags,
      autoReconnect: this.spec.autoReconnect,
      epoch: this.epoch,
      createdAt: new Date(record.createdAt),
      ...(this.connectedAt === 0 ? {} : { connectedAt: new Date(this.connectedAt) }),
      ...(this.lastFrameAt === 0 ? {} : { lastFrameAt: new Date(this.lastFrameAt) }),
      framesReceived: this.sequence,
      framesPublished: this.counters.published,
      framesDropped: this.counters.dropped,
      framesSent: this.sent,
      reconnectAttempts: this.isStable() ? 0 : this.attempts,
      lastError: this.lastError,
      lastCloseCode: this.lastCloseCode
    }
  }

  /** Open for so long that the next loss begins to count anew. */
  private isStable(): boolean {
    return this.status === CONNECTED && this.now() - this.connectedAt >= this.spec.reconnect.stableAfterMs
  }

  private makeOrigin(): FrameOrigin {
    return {
      connectionId: this.id,
      connectionUrl: this.spec.shownUrl,
      instanceId: this.instanceId,
      epoch: this.epoch,
      textContentType: this.spec.publishing.textContentType
    }
  }
}

// ------------------------------------------------------------ The outcome of the first dial of a start: the caller that asked for that dial waits for it

/** ConnectionNotOpen: the connection was removed, or dialled anew, before this dial came to an end. */
export type StartFailure = DialFailed | TargetForbidden | ConnectionNotOpen

export type FirstDial = OneShot<void, StartFailure>
