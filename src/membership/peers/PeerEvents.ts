/**
 * Instance events this process has emitted. Kept across incarnations, so that rejoining after a fence does not announce every
 * peer again.
 */
import { evictOldest } from "../../common/EvictOldest.js"
import { Listeners } from "../../common/Listeners.js"
import type { Peer } from "../../ports/Peers.js"
import type { EndedInstance, MemberTable } from "./MemberTable.js"

/** What happened to another instance, by its name (proto/README.md, Events). */
export interface InstanceEvent extends Peer {
  /** of the lifecycle event */
  readonly name: "instance-joined" | "instance-suspect" | "instance-dead" | "instance-left" | "instance-draining"
}

export interface PeerEvents {
  readonly onInstance: (listener: (event: InstanceEvent) => void) => () => void
  /** Says it once: what was said of this incarnation last is not said again, and nothing after its end. */
  readonly emit: (name: InstanceEvent["name"], peer: Peer) => void
  /** The peer was there before this instance looked: there is no event for that. */
  readonly markKnown: (peer: Peer) => void
  /** It speaks again: the next silence is said again. */
  readonly recovered: (peer: Peer) => void
  readonly onVictim: (listener: (victim: EndedInstance) => void) => () => void
  readonly victim: (view: MemberTable, victim: EndedInstance) => void
}

const MAX_ANNOUNCED_PEERS = 4096
const END: ReadonlySet<string> = new Set(["instance-dead", "instance-left"])

export const make = (): PeerEvents => {
  const instances = new Listeners<[event: InstanceEvent]>()
  const victims = new Listeners<[victim: EndedInstance]>()
  const said = new Map<string, InstanceEvent["name"]>()
  const suspects = new Set<string>()

  const note = (incarnation: string, name: InstanceEvent["name"]): void => {
    said.delete(incarnation)
    evictOldest(said.set(incarnation, name), MAX_ANNOUNCED_PEERS)
  }
  /** Whether this is news. */
  const isNews = (name: InstanceEvent["name"], incarnation: string): boolean => {
    const before = said.get(incarnation)
    if (before !== undefined && (before === name || name === "instance-joined" || END.has(before))) return false
    if (name !== "instance-suspect") {
      note(incarnation, name)
      if (END.has(name)) suspects.delete(incarnation)
      return true
    }
    if (suspects.has(incarnation)) return false
    suspects.add(incarnation)
    return true
  }
  return {
    onInstance: instances.add,
    onVictim: victims.add,
    emit: (name, { address, id, incarnation }) => {
      if (!isNews(name, incarnation)) return
      instances.tell({ name, id, incarnation, address })
    },
    markKnown: ({ incarnation }) => {
      if (!said.has(incarnation)) note(incarnation, "instance-joined")
    },
    recovered: ({ incarnation }) => {
      suspects.delete(incarnation)
    },
    victim: (view, victim) => {
      if (view.victims.has(victim.incarnation)) return
      view.victims.set(victim.incarnation, victim)
      victims.tell(victim)
    }
  }
}
