/** What everything that one life does among the others works with. */
import type { Peer, Peers } from "../ports/Peers.js"
import type { StateStore } from "../ports/StateStore.js"
import type { Essentials } from "../observability/Essentials.js"
import type { Announcements } from "./Announcements.js"
import type { Elapsed } from "./Elapsed.js"
import type { LeaseBoard } from "./LeaseBoard.js"
import type { LifeState } from "./Life.js"
import type { Periods } from "./Periods.js"
import type { View } from "./View.js"

export interface Fleet {
  readonly store: StateStore["Type"]
  readonly peers: Peers["Type"]
  readonly elapsed: Elapsed
  readonly periods: Periods
  readonly board: LeaseBoard
  readonly announcements: Announcements
  readonly essentials: Essentials["Type"]
  /** WSM_CRASH_DETECTION */
  readonly crashDetection: boolean
  readonly life: LifeState
  readonly view: View
  /** this life, as it says hello */
  readonly me: Peer
}
