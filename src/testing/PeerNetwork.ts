/**
 * The network between managers of one process: `Peers` without sockets, for the test clock. Messages travel by the sender's Effect
 * clock; the peer's part runs in the peer's own runtime.
 *
 *     const network = new PeerNetwork()
 *     const manager = network.serving(A).pipe(
 *       Layer.provideMerge(ManagerLayer.layer({ peers: network.layer(A), settings: { advertiseAddress: A } }))
 *     )
 *
 * As on a real one: an address where no process listens refuses; a process that is there and not yet (or no longer) serving
 * lets its callers wait; what is cut or frozen is silent and comes through late once that is over, unless its caller has
 * given up; when a process is gone its links break at once, unless the way to it is cut.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Peers, PeerService } from "../ports/Peers.js"
import * as NetworkPeers from "./NetworkPeers.js"
import { NetworkState, pair, type SentCall, type Serving } from "./NetworkState.js"

export type { SentCall } from "./NetworkState.js"
/** How the network behaves; all may be left out. */
export type PeerNetworkOptions = NetworkPeers.PeerNetworkOptions

/** The network of the cluster: what passes between which addresses. */
export class PeerNetwork {
  /** milliseconds one way; may be changed at any time */
  delay: (from: string, to: string) => number = () => 0
  private readonly roads = new NetworkState((from, to) => this.delay(from, to))

  constructor(private readonly options: PeerNetworkOptions = {}) {}

  /** What was sent so far, in this order. */
  get sent(): Array<SentCall> {
    return this.roads.sent
  }

  /** What the process at this address speaks through. It listens there for as long as the layer lives. */
  layer(address: string): Layer.Layer<Peers> {
    return Layer.scoped(
      Peers,
      Effect.acquireRelease(
        Effect.sync(() => {
          this.listen(address)
          return NetworkPeers.make(this.roads, this.options, address)
        }),
        () => Effect.sync(() => this.crash(address))
      )
    )
  }

  /** Answers at this address by the desk, for as long as the layer lives. */
  serving(address: string): Layer.Layer<never, never, PeerService> {
    return Layer.scopedDiscard(
      Effect.gen(this, function* () {
        const serving: Serving = { desk: yield* PeerService, runtime: yield* Effect.runtime<never>() }
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            this.roads.serves.set(address, serving)
            this.roads.changed()
          }),
          () =>
            Effect.sync(() => {
              if (this.roads.serves.get(address) === serving) this.roads.serves.delete(address)
            })
        )
      })
    )
  }

  /** A process listens at this address. */
  listen(address: string): void {
    this.roads.bound.add(address)
    this.roads.frozen.delete(address)
    this.roads.changed()
  }

  /** The process is gone: dials are refused, and what stood breaks. */
  crash(address: string): void {
    this.roads.bound.delete(address)
    this.roads.serves.delete(address)
    this.roads.frozen.delete(address)
    this.roads.breakAll((e) => e.from === address || e.to === address)
  }

  /** The process does nothing until `thaw`; its kernel still keeps its connections. */
  freeze(address: string): void {
    this.roads.frozen.add(address)
  }

  /** The process goes on; what waited for it arrives. */
  thaw(address: string): void {
    this.roads.frozen.delete(address)
    this.roads.changed()
  }

  /** Nothing passes between the two. */
  cut(a: string, b: string): void {
    this.roads.cuts.add(pair(a, b))
  }

  /** Heals one pair, or everything that was cut. */
  heal(a?: string, b?: string): void {
    if (a === undefined || b === undefined) this.roads.cuts.clear()
    else this.roads.cuts.delete(pair(a, b))
    this.roads.changed()
  }

  /** Breaks what stands between the two, while both ports answer. */
  reset(a: string, b: string): void {
    this.roads.breakAll((e) => pair(e.from, e.to) === pair(a, b))
  }

  /** A strange network: new dials to a process that lives are refused, or no longer. */
  refuse(address: string, refused = true): void {
    if (refused) this.roads.refusing.add(address)
    else this.roads.refusing.delete(address)
    this.roads.changed()
  }

  /** Links and calls in flight, for leak checks. */
  get inFlight(): number {
    return this.roads.exchanges.size
  }
}
