/** What the parts of the connection store share: what is owned, what is under way, and the present life's pages. */
import type * as Deferred from "effect/Deferred"
import type * as Scope from "effect/Scope"
import type { StateStoreUnavailable } from "../domain/Errors.js"
import type { ConnectionRecord } from "../domain/Record.js"
import type { Elapsed } from "../membership/Elapsed.js"
import type { Life } from "../membership/Lease.js"
import type { Membership } from "../membership/Membership.js"
import type { Essentials } from "../observability/Essentials.js"
import type { StateStore } from "../ports/StateStore.js"
import type { Owned, OwnedState } from "./Owned.js"
import type { Pages } from "./Pages.js"
import type { Turns } from "./Turns.js"

/** What belongs to one life. */
export interface Tenure {
  readonly life: Life
  readonly pages: Pages
  /** ids that are being created or claimed: they stay on their page */
  readonly wants: Map<string, number>
  /** the pages of the former life are mine; fails when the life ends before they are */
  readonly adopted: Deferred.Deferred<void, StateStoreUnavailable>
  /** what the store forgot, by id: to be created anew, by the next life where this one does not come to it */
  readonly forgotten: Map<string, ConnectionRecord>
}

export interface Room {
  readonly store: StateStore["Type"]
  readonly membership: Membership["Type"]
  readonly essentials: Essentials["Type"]
  readonly instanceId: string
  readonly elapsed: Elapsed
  readonly scope: Scope.Scope
  readonly owned: Map<string, OwnedState>
  /** ids that shall be tombstones, whatever this or a later life of ours finds of them */
  readonly doomed: Set<string>
  /** ids that are being created or removed; done when that is settled */
  readonly busy: Map<string, Deferred.Deferred<void>>
  readonly disowned: Set<(owned: Owned) => void>
  /** creates that are under way at once; the others wait for their turn */
  readonly creates: Turns
  /** record writes that are open */
  open: number
  tenure: Tenure | undefined
}

export const want = (tenure: Tenure, id: string): void => {
  tenure.wants.set(id, (tenure.wants.get(id) ?? 0) + 1)
}

export const unwant = (tenure: Tenure, id: string): void => {
  const rest = (tenure.wants.get(id) ?? 0) - 1
  if (rest > 0) tenure.wants.set(id, rest)
  else tenure.wants.delete(id)
}
