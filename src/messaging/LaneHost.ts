/** What the lanes of one topic share. */
import type { Counter } from "../observability/Metrics.js"
import type { GapDesk } from "./Gaps.js"
import type { Lane } from "./Lane.js"
import type { Tally } from "./Tally.js"
import type { TopicQueue } from "./TopicQueue.js"

export interface LaneHost {
  readonly queue: TopicQueue
  readonly tally: Tally
  readonly gaps: GapDesk
  readonly published: Counter
  readonly dropped: { readonly [cause in "overflow" | "publish" | "lease"]: Counter }
  /** steady milliseconds */
  readonly now: () => number
  /** encoded bytes of one event; Infinity: no limit */
  readonly maxEventBytes: number
  /** Nothing is left of the lane: called once. */
  readonly retired: (lane: Lane) => void
}
