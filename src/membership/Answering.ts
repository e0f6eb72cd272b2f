/** What this instance answers its peers of itself and of the store; the other end of PeerRenewal and Links. */
import type { Asked, Greeting, Peer } from "../ports/Peers.js"
import type { Elapsed } from "./Elapsed.js"
import type { LifeState } from "./Life.js"
import type { View } from "./View.js"

/** A read that is older than this is repeated when a peer asks, milliseconds. */
const FRESH = 300

/**
 * A greeter is believed as far as the store bears it out. A greeter that was not (yet) read there is no member, is told so, and
 * is looked for at once: it must not count this instance's silence while this instance does not ask it.
 */
export const hello = (view: View, elapsed: Elapsed, life: LifeState, from: Peer): Greeting => {
  // while joining there is none yet, and the present one is another's
  const mine = life.incarnation === view.incarnation
  if (mine && life.ended()) return { incarnation: undefined, counted: false, acts: false }
  const counted = view.hear(from)
  if (!counted && view.meet(from, elapsed.mark().monotonic)) view.look()
  return { incarnation: view.incarnation, counted, acts: mine && life.valid() }
}

/** Whether the store can be read here; if not, this instance promises to listen anew from its next good read on. */
export const ask = (view: View, elapsed: Elapsed, over: boolean, from: Peer): Asked => {
  if (over) return { incarnation: undefined, verdict: undefined }
  const { incarnation } = view
  if (view.ended.has(from.incarnation)) return { incarnation, verdict: "fenced" }
  // on its way with unknown outcome: nothing can be promised any more
  if (view.fencing.has(from.incarnation)) return { incarnation, verdict: "reached" }
  if (view.listeningSince !== undefined) {
    if (view.lastGood === undefined || elapsed.since(view.lastGood) > FRESH) view.look()
    return { incarnation, verdict: "reached" }
  }
  return { incarnation, verdict: "not-reached" }
}
