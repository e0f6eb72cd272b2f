/** What a connection sees of its way to a topic, and what it says when it opens one. */
import type * as Effect from "effect/Effect"
import type { GapCause, Position } from "../../domain/ConnectionEvent.js"
import type { Frame } from "../../domain/Frame.js"
import type { ResolvedBuffer, ResolvedPublishing } from "../../domain/Spec.js"

export interface LaneOptions {
  readonly connectionId: string
  readonly topic: string
  readonly buffer: ResolvedBuffer
  readonly publishing: ResolvedPublishing
  /** The lease: asked right before each request goes out, and again before each repetition. */
  readonly mayPublish: () => boolean
  /** Overflow PAUSE: called synchronously at the high-water mark and at the low one. */
  readonly onPause: () => void
  readonly onResume: () => void
  /** At most once a second for each cause, and once at the end: what was lost between two published positions. */
  readonly onGap: (
    cause: Extract<GapCause, "overflow" | "publish">,
    last: Position,
    first: Position,
    lost: number
  ) => void
  /** Added to as frames are published or dropped. */
  readonly counters: { published: number; dropped: number }
  /** The position before the lane's first frame. */
  readonly start: Position
}

export interface Lane {
  /** The hot path: no promise, no fiber, no allocation beyond the buffer's own. */
  readonly offer: (frame: Frame) => void
  /** Nothing more will be offered; what waits is still published. */
  readonly close: () => void
  /** Drops what waits and counts it as dropped (cause lease); nothing of it is published any more. */
  readonly discard: () => number
  /** Done when nothing waits and nothing is in flight. */
  readonly drained: Effect.Effect<void>
  readonly lastPublished: () => Position
  readonly pendingFrames: () => number
  readonly pendingBytes: () => number
}
