/** Lifecycle events: what happened to a connection or an instance (proto/README.md, Events). */

/** Every event there is. */
export const LIFECYCLE_NAMES = [
  "connecting",
  "connected",
  "reconnecting",
  "disconnected",
  "failed",
  "error",
  "gap",
  "claimed",
  "migrated",
  "published-to",
  "unpublished",
  "instance-joined",
  "instance-suspect",
  "instance-dead",
  "instance-left",
  "instance-draining"
] as const

/** The name of a lifecycle event. */
export type LifecycleName = (typeof LIFECYCLE_NAMES)[number]

/** One event on its way to the lifecycle topic. */
export class LifecycleEvent {
  /** tells it from a frame */
  readonly kind = "lifecycle" as const
  constructor(
    readonly name: LifecycleName,
    /** empty for instance events */
    readonly connectionId: string,
    readonly instanceId: string,
    /** 0 for instance events */
    readonly epoch: number,
    /** milliseconds since 1970 */
    readonly time: number,
    /** the contract's attributes of this event, all lower case, values as text */
    readonly attributes: Readonly<Record<string, string>>,
    /** unique per event: a UUIDv7 */
    readonly id: string
  ) {}
}

/** Why frames are missing. */
export type GapCause = "reconnect" | "takeover" | "overflow" | "publish"

/** A position in a connection's stream of frames. */
export interface Position {
  /** grows with each change of owner */
  readonly epoch: number
  /** of the frame within the epoch, from 1 */
  readonly sequence: number
  /** milliseconds since 1970; 0: not known */
  readonly at: number
}

/** The attributes of a `gap` event. `lost` is a number, or unknown where the frames could not be counted. */
export const gapAttributes = (
  cause: GapCause,
  last: Position,
  first: Position,
  lost: number | "unknown"
): Record<string, string> => ({
  cause,
  lastepoch: String(last.epoch),
  lastsequence: String(last.sequence),
  lastat: last.at === 0 ? "" : new Date(last.at).toISOString(),
  firstepoch: String(first.epoch),
  firstsequence: String(first.sequence),
  firstat: first.at === 0 ? "" : new Date(first.at).toISOString(),
  lost: String(lost)
})
