/** What everything that one incarnation does among the others works with. */
import type { SuspendAwareClock } from "../../common/SuspendAwareClock.js"
import type { Essentials } from "../../observability/Essentials.js"
import type { Peer, Peers } from "../../ports/Peers.js"
import type { StateStore } from "../../ports/StateStore.js"
import type { IncarnationState } from "../lease/Incarnation.js"
import type { LeaseController } from "../lease/LeaseController.js"
import type { LeaseTimings } from "../lease/LeaseTimings.js"
import type { MemberTable } from "./MemberTable.js"
import type { PeerEvents } from "./PeerEvents.js"

export interface PeerContext {
  readonly store: StateStore["Type"]
  readonly peers: Peers["Type"]
  readonly elapsed: SuspendAwareClock
  readonly periods: LeaseTimings
  readonly board: LeaseController
  readonly announcements: PeerEvents
  readonly essentials: Essentials["Type"]
  /** WSM_CRASH_DETECTION */
  readonly crashDetection: boolean
  readonly life: IncarnationState
  readonly view: MemberTable
  /** this incarnation, as it says hello */
  readonly me: Peer
}
