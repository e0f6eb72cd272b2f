/**
 * Which instance id has which incarnation: by the index, and by what was read, which the present read adds to. Made once for
 * each read.
 */
import type { HeartbeatRecord } from "../../domain/stored/InstanceRecord.js"
import type { Peer } from "../../ports/Peers.js"
import type { MemberTable } from "./MemberTable.js"
import type { PeerContext } from "./PeerContext.js"

export class Holders {
  private readonly indexed: ReadonlySet<string>
  private readonly known = new Map<string, Set<string>>()

  constructor({ indexed, peers: known }: MemberTable) {
    this.indexed = new Set(indexed.values())
    for (const one of known.values()) this.add(one)
  }

  add({ id, incarnation }: Peer): void {
    const ids = this.known.get(incarnation)
    if (ids === undefined) this.known.set(incarnation, new Set([id]))
    else ids.add(id)
  }

  remove({ id, incarnation }: Peer): void {
    this.known.get(incarnation)?.delete(id)
  }

  /** Whether this incarnation is one of another instance: a record that says so is a copy. */
  isCopied({ life, me, view }: PeerContext, { id, incarnation }: HeartbeatRecord): boolean {
    if (id === me.id) return false
    if (incarnation === life.incarnation) return true
    // by what was read alone: a hello proves nothing
    for (const first of this.known.get(incarnation) ?? []) return first !== id
    // where the index names it, but not for this one, it names it for another
    return view.indexed.get(id) !== incarnation && this.indexed.has(incarnation)
  }
}
