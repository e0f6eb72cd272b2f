/**
 * The consumer's rule (proto/README.md, What a consumer must do). A reader of a topic gets every frame of each connection
 * once, in the order of (epoch, sequence). It learns what is missing between two of them.
 *
 * ```ts
 * import { acceptInOrder } from "websocketmanager/acceptInOrder"
 *
 * const inOrder = acceptInOrder()
 * const onEvent = (event: object) => {
 *   const { frames, gaps } = inOrder.accept(event)
 *   for (const { connectionId, data } of frames) handle(connectionId, data)
 *   for (const { connectionId, missing, explainedBy } of gaps) console.warn(connectionId, missing, explainedBy)
 * }
 * ```
 *
 * Brokers and sidecars deliver at least once, and a fenced owner's frames may come late: both are dropped, and counted in
 * `dropped`. Give it the events of `websocketmanager.lifecycle` too, and it tells which gaps the manager has reported
 * itself, whichever of the two comes first. It loads nothing and starts nothing.
 */
import { type FrameData, readEvent } from "./ReadEvent.js"

export type { FrameData }

/** A frame's place in the stream of one connection: by epoch first, then by sequence. */
export interface Position {
  /** grows with each change of owner */
  readonly epoch: number
  /** of the frame within the epoch, from 1 */
  readonly sequence: number
}

/** A frame that is news, in its order. */
export interface AcceptedFrame extends Position {
  /** the connection whose peer sent it */
  readonly connectionId: string
  /** arrival at the manager, milliseconds since 1970 */
  readonly receivedAt: number
  /** a text frame as a string, a binary one as its bytes */
  readonly data: FrameData
}

/** What the manager said about missing frames: a `gap` event (proto/README.md, Events). */
export interface GapReport {
  /** the connection whose frames are missing */
  readonly connectionId: string
  /** `reconnect`, `takeover`, `overflow` or `publish` */
  readonly cause: string
  /** the frames lost lie between these two */
  readonly last: Position
  /** where the stream goes on after the loss */
  readonly first: Position
  /** how many frames are lost; unknown where they could not be counted */
  readonly lost: number | "unknown"
}

/** Frames that this reader did not get, between two that it accepted. */
export interface Gap {
  /** the connection whose frames are missing */
  readonly connectionId: string
  /** `hole`: numbers are missing within an epoch · `epoch`: a new owner began, and what came before it is not known */
  readonly kind: "hole" | "epoch"
  /** accepted last before the gap, and first after it */
  readonly after: Position
  /** the first one accepted after the gap */
  readonly before: Position
  /** how many numbers are missing; unknown across epochs */
  readonly missing: number | "unknown"
  /** what the manager has reported of it so far */
  readonly explainedBy: ReadonlyArray<GapReport>
}

/** What one event brought. */
export interface Accepted {
  /** in order, each for the first time */
  readonly frames: ReadonlyArray<AcceptedFrame>
  /** frames that are no news: repeated, or of a fenced owner */
  readonly dropped: number
  /** before the frames of this event, or among them */
  readonly gaps: ReadonlyArray<Gap>
  /** this event is a `gap` event */
  readonly report: GapReport | undefined
  /** gaps that were told before, and that this report explains; each with what explains it now */
  readonly explained: ReadonlyArray<Gap>
  /** the name of a lifecycle event, such as `connected`; nothing is done about it */
  readonly lifecycle: string | undefined
}

/** Where to begin, and what to forget; all may be left out. */
export interface Options {
  /** Where to go on: what `positions` gave before a restart. */
  readonly from?: Iterable<readonly [connectionId: string, position: Position]>
  /**
   * Forget a connection of which nothing came for so many milliseconds; never, unless told. A repeated frame of a forgotten
   * connection is taken for a new one. So give more than the broker's longest delay of a repetition, such as an hour.
   */
  readonly forgetAfterMillis?: number
  /** milliseconds, for forgetting */
  readonly now?: () => number
}

/** The rule for one reader. It holds one position per connection, and the last few gaps. */
export interface InOrder {
  /**
   * One event of a topic. It is structured JSON as text or bytes, its object as an HTTP subscriber gets it, or a
   * `TopicEventRequest` of Dapr's gRPC API. Anything but an event of a manager brings nothing. Fails (throws) on text that
   * is no JSON.
   */
  readonly accept: (event: string | Uint8Array | object) => Accepted
  /** The last accepted position of each connection that is known, for `from`. */
  readonly positions: () => ReadonlyMap<string, Position>
  /** Forgets a connection now, such as one that was disconnected. */
  readonly forget: (connectionId: string) => void
}

/** A reader's rule, new or from where it was: takes each frame once and in order, and tells what is missing. */
export const acceptInOrder = (options: Options = {}): InOrder => {
  const { forgetAfterMillis = Infinity, now = Date.now } = options
  const feeds = new Map<string, Feed>()
  let sweepAt = now() + forgetAfterMillis

  const feedOf = (connectionId: string): Feed => {
    const at = now()
    if (at >= sweepAt) {
      for (const [id, { seenAt }] of feeds) if (at - seenAt >= forgetAfterMillis) feeds.delete(id)
      sweepAt = at + forgetAfterMillis / 4
    }
    let feed = feeds.get(connectionId)
    if (feed === undefined) feeds.set(connectionId, (feed = new Feed(connectionId)))
    feed.seenAt = at
    return feed
  }
  for (const [id, position] of options.from ?? []) feedOf(id).last = position

  return {
    accept: (given) => {
      const event = readEvent(given)
      switch (event?.kind) {
        case "frames":
          return feedOf(event.connectionId).accept(event)
        case "gap": {
          const { cause, connectionId, first, last, lost } = event
          const report = { cause, connectionId, first, last, lost }
          const explained = feedOf(connectionId).explain(report)
          return { ...NOTHING_ACCEPTED, report, explained, lifecycle: "gap" }
        }
        case "lifecycle":
          return { ...NOTHING_ACCEPTED, lifecycle: event.name }
        default:
          return NOTHING_ACCEPTED
      }
    },
    positions: () => new Map([...feeds].flatMap(([id, { last }]) => (last === undefined ? [] : [[id, last] as const]))),
    forget: (connectionId) => void feeds.delete(connectionId)
  }
}

const NOTHING_ACCEPTED: Accepted = {
  frames: [],
  dropped: 0,
  gaps: [],
  report: undefined,
  explained: [],
  lifecycle: undefined
}

/** Reports that wait for their gap, and gaps that wait for their report; of each connection so many, the latest. */
const MAX_OPEN_GAPS = 16

class Feed {
  last: Position | undefined
  seenAt = 0
  private reports: Array<GapReport> | undefined
  private told: Array<Gap> | undefined

  constructor(private readonly connectionId: string) {}

  accept(event: {
    readonly epoch: number
    readonly frames: ReadonlyArray<{ sequence: number; receivedAt: number; data: FrameData }>
  }): Accepted {
    const { connectionId } = this
    const { epoch } = event
    const frames: Array<AcceptedFrame> = []
    let gaps: Array<Gap> | undefined
    for (const { data, receivedAt, sequence } of event.frames) {
      const { last } = this
      const frame = { connectionId, epoch, sequence, receivedAt, data }
      if (last !== undefined) {
        if (!isBefore(last, frame)) continue
        if (last.epoch !== epoch || last.sequence + 1 !== sequence) (gaps ??= []).push(this.gap(last, frame))
      }
      this.last = { epoch, sequence }
      frames.push(frame)
    }
    return {
      ...NOTHING_ACCEPTED,
      frames,
      gaps: gaps ?? NOTHING_ACCEPTED.gaps,
      dropped: event.frames.length - frames.length
    }
  }

  /** The gaps that were told already and lie, at least in part, in what is reported. */
  explain(report: GapReport): ReadonlyArray<Gap> {
    const explained: Array<Gap> = []
    const told = this.told ?? []
    for (const [i, gap] of told.entries()) {
      if (!meet(gap, report)) continue
      told[i] = { ...gap, explainedBy: [...gap.explainedBy, report] }
      explained.push(told[i])
    }
    remember((this.reports ??= []), report)
    return explained
  }

  private gap(after: Position, { epoch, sequence }: Position): Gap {
    const before = { epoch, sequence }
    const within = after.epoch === epoch
    const gap: Gap = {
      connectionId: this.connectionId,
      kind: within ? "hole" : "epoch",
      after,
      before,
      missing: within ? sequence - after.sequence - 1 : "unknown",
      explainedBy: this.reports?.filter((report) => meet({ after, before }, report)) ?? []
    }
    remember((this.told ??= []), gap)
    return gap
  }
}

const isBefore = (a: Position, b: Position): boolean =>
  a.epoch < b.epoch || (a.epoch === b.epoch && a.sequence < b.sequence)

/** Whether a frame may lie in both. */
const meet = (gap: Pick<Gap, "after" | "before">, report: GapReport): boolean => {
  const lower = isBefore(gap.after, report.last) ? report.last : gap.after
  const upper = isBefore(gap.before, report.first) ? gap.before : report.first
  return isBefore(lower, upper) && (lower.epoch !== upper.epoch || upper.sequence - lower.sequence > 1)
}

const remember = <A>(items: Array<A>, item: A): void => {
  if (items.length >= MAX_OPEN_GAPS) items.shift()
  items.push(item)
}
