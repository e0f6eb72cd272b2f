/**
 * One connection under this owner: what the doors show, what the socket feeds, what the record keeps. Its state, and what changes
 * it, is ConnectionState.
 *
 * `receive` is the hot path: the socket's callback calls it for every frame.
 */
import type { ByteBudget } from "../../common/ByteBudget.js"
import { Mutex } from "../../common/Mutex.js"
import type { Position } from "../../domain/ConnectionEvent.js"
import { CONNECTED } from "../../domain/ConnectionStatus.js"
import { Frame, type FrameOrigin, OCTET_STREAM, TEXT_PLAIN } from "../../domain/Frame.js"
import type { Connection } from "../../domain/Messages.js"
import type { ResolvedSpec } from "../../domain/Spec.js"
import type { Correlator } from "../../messaging/correlation/Correlator.js"
import type { ReaderBuffer } from "../../messaging/ReaderBuffer.js"
import type { Counter } from "../../observability/Metrics.js"
import type { Owned } from "../../ownership/ConnectionStore.js"
import { ConnectionState } from "./ConnectionState.js"
import type { EventSubject } from "../Events.js"

/** What a reader's buffer counts for a frame beside its data. */
const FRAME_BYTES = 64

export class ManagedConnection extends ConnectionState implements EventSubject {
  readonly counters = { published: 0, dropped: 0 }
  /** one change at a time: of tags, of the topic; each waits for the store */
  readonly changing = new Mutex()
  /** one at a time: a dial, and what ends a dial; never waits for the store */
  readonly dialling = new Mutex()
  readonly readers = new Set<ReaderBuffer<Frame>>()
  private origin: FrameOrigin

  constructor(
    owned: Owned,
    readonly instanceId: string,
    spec: ResolvedSpec,
    correlator: Correlator,
    /** what is kept to be sent on it */
    readonly budget: ByteBudget,
    /** what the former owner knew of the stream; undefined: it had no owner before */
    readonly inherited: Position | undefined,
    private readonly now: () => number,
    /** what a frame is stamped with */
    private readonly turnTime: () => number,
    private readonly received: Counter
  ) {
    super(owned, spec, correlator)
    this.origin = this.makeOrigin()
  }

  readonly tags = (): Readonly<Record<string, string>> => this.owned.record().tags

  /** Every ordinary frame, synchronously, in order of arrival. */
  readonly receive = (data: Buffer, binary: boolean): void => {
    if (this.correlator.waiting() && this.correlator.tryMatch(data, binary, this.spec.maxReplyBytes)) return
    const at = this.turnTime()
    const frame = new Frame(this.origin, this.frameArrived(at, binary), at, binary, data)
    this.received.value++
    if (this.lane !== undefined) this.lane.offer(frame)
    if (this.readers.size !== 0) for (const reader of this.readers) reader.offer(frame, data.length + FRAME_BYTES)
  }

  /** Frames that come from now on are stamped by the present spec (StartPublish may change the content type of text). */
  restamp(): void {
    this.origin = this.makeOrigin()
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
