/**
 * What the parts of the connection store share: what is owned, what is under way, and the present incarnation's pages.
 */
import type * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Listeners } from "../../common/Listeners.js"
import type { FifoSemaphore } from "../../common/FifoSemaphore.js"
import type { SuspendAwareClock } from "../../common/SuspendAwareClock.js"
import type { StateStoreUnavailable } from "../../domain/Errors.js"
import type { ConnectionRecord } from "../../domain/stored/ConnectionRecord.js"
import type { Incarnation } from "../../membership/lease/Lease.js"
import type { Membership } from "../../membership/Membership.js"
import type { Essentials } from "../../observability/Essentials.js"
import type { StateStore } from "../../ports/StateStore.js"
import type { OwnedConnection, OwnedConnectionState } from "./OwnedConnection.js"
import type { Pages } from "./Pages.js"
import type { PendingRemovals } from "./PendingRemovals.js"

/** What belongs to one incarnation. */
export interface PageTenure {
  readonly life: Incarnation
  readonly pages: Pages
  /** ids that are being created or claimed: they stay on their page */
  readonly retained: Map<string, number>
  /** the pages of the former incarnation are adopted; fails when the incarnation ends before they are */
  readonly adopted: Deferred.Deferred<void, StateStoreUnavailable>
  /** what the store forgot, by id: to be created anew, by the next incarnation where this one does not come to it */
  readonly forgotten: Map<string, ConnectionRecord>
  /** ids whose create may land in the emptied store, where no page names them: to be reconciled, as `forgotten` */
  readonly unlisted: Set<string>
}

export interface StoreContext {
  readonly store: StateStore["Type"]
  readonly membership: Membership["Type"]
  readonly essentials: Essentials["Type"]
  readonly instanceId: string
  readonly elapsed: SuspendAwareClock
  readonly scope: Scope.Scope
  readonly owned: Map<string, OwnedConnectionState>
  readonly pendingRemoval: PendingRemovals
  /** ids that are being created or removed; done when that is settled */
  readonly busy: Map<string, Deferred.Deferred<void>>
  readonly disowned: Listeners<[owned: OwnedConnection]>
  /** creates that are under way at once; the others wait for their turn */
  readonly creates: FifoSemaphore
  /** record writes that are open */
  open: number
  tenure: PageTenure | undefined
}

/** Work on this id: its page names the id until the work has ended. */
export const retaining =
  (tenure: PageTenure, id: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      tenure.retained.set(id, (tenure.retained.get(id) ?? 0) + 1)
      return Effect.ensuring(
        work,
        Effect.sync(() => {
          const rest = (tenure.retained.get(id) ?? 0) - 1
          if (rest > 0) tenure.retained.set(id, rest)
          else tenure.retained.delete(id)
        })
      )
    })
