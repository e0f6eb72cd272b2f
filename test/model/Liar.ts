/** Somebody who speaks to the instances and writes to their store, and means harm: what it says need not be so. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { INDEX_KEY, instanceKey } from "../../src/domain/stored/Keys.js"
import { type LeaseProbe, type Peer, Peers, PeerService } from "../../src/ports/Peers.js"
import { SimulatedProcess } from "../../src/testing/SimulatedProcess.js"
import type { World } from "./World.js"

export class Liar {
  readonly me: Peer = { id: "liar", incarnation: "0198aaaa-0000-7000-8000-000000000001", address: "http://liar.test:1" }
  private readonly peers: Peers["Type"]
  /** it never freezes, and its clock is right */
  private readonly process: SimulatedProcess
  private beats = 0

  constructor(private readonly world: World) {
    this.process = new SimulatedProcess(world.time.ground)
    const { network } = world.cluster
    this.peers = Context.get(Effect.runSync(Layer.buildWithScope(network.layer(this.me.address), world.scope)), Peers)
  }

  /** Says hello to everybody in this name, each second, for so long. */
  hello(from: Peer, ms: number): void {
    const until = this.world.time.now + ms
    const say = () => {
      if (this.world.time.now > until) return
      for (const { address } of this.world.living) {
        this.world.time.run(this.within(Effect.map(Effect.exit(this.peers.hello(address, from)), this.heard)))
      }
      this.world.time.after(1_000, say)
    }
    say()
  }

  /** A row of its own, and an entry of the index; written anew each interval, as if it lived. */
  row(more: Readonly<Record<string, unknown>> = {}, id = this.me.id, beating = true): void {
    const record = {
      v: 1,
      ...this.me,
      id,
      status: "alive",
      startedAt: new Date(this.world.time.now).toISOString(),
      bootId: "boot-liar",
      pidNamespace: "namespace-liar",
      pid: 4711,
      processStart: "1",
      intervalMs: 2_000,
      ttlMs: 6_000,
      connections: 0,
      ...more
    }
    const write = () => {
      const beat = ++this.beats
      this.world.meddle(instanceKey(id), () => ({ ...record, beat, nonce: `liar.${beat}` }))
      if (beating && !this.world.healing) this.world.time.after(2_000, write)
    }
    write()
    this.world.meddle(INDEX_KEY, (index) => ({
      ...index,
      ids: { ...(index?.["ids"] as object), [id]: record.incarnation },
      nonce: "liar"
    }))
  }

  /** how many of its hellos were answered */
  answered = 0
  private readonly heard = (exit: Exit.Exit<unknown, unknown>): void => {
    if (Exit.isSuccess(exit)) this.answered++
  }

  private within<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.withClock(Effect.withScheduler(effect, this.process.scheduler), this.process.clock)
  }

  /** Takes its row and its entry away. */
  gone(id = this.me.id): void {
    this.world.meddle(instanceKey(id), () => undefined)
    this.world.meddle(INDEX_KEY, (index) => {
      const { [id]: _, ...ids } = (index?.["ids"] ?? {}) as Record<string, string>
      return { ...index, ids, nonce: "liar gone" }
    })
  }

  /** Answers at its address: counts whoever says hello, and says this to whoever asks. */
  answers(asked: Partial<LeaseProbe>): void {
    const { address, incarnation } = this.me
    const desk = PeerService.of({
      incarnation: () => incarnation,
      hello: () => Effect.succeed({ incarnation, counted: true, acts: true }),
      probeLease: () => Effect.succeed({ incarnation, verdict: undefined, ...asked }),
      offerHandover: () => Effect.succeed(true),
      confirmHandover: () => Effect.succeed(true),
      call: () => Effect.never,
      send: () => Stream.never,
      open: () => Effect.never
    })
    const serving = Layer.provide(this.world.cluster.network.serving(address), Layer.succeed(PeerService, desk))
    this.world.time.run(this.within(Layer.buildWithScope(serving, this.world.scope)))
  }
}
