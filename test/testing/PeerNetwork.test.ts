import { expect } from "vitest"
import { it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type { Scheduler } from "effect/Scheduler"
import { PeerService, Peers } from "../../src/ports/Peers.js"
import { PeerNetwork } from "../../src/testing/PeerNetwork.js"

const A = "http://a.test:1"
const B = "http://b.test:1"

it.scopedLive("a call whose peer dies while it answers ends all the same: nobody waits for what will never run", () =>
  Effect.gen(function* () {
    const network = new PeerNetwork()
    let dead = false
    const process: Scheduler = {
      shouldYield: () => false,
      scheduleTask: (task) => queueMicrotask(() => dead || task())
    }
    const asked = yield* Deferred.make<void>()
    const desk = {
      confirmHandover: () => Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never)
    }
    const there = network
      .serving(B)
      .pipe(Layer.provideMerge(network.layer(B)), Layer.provide(Layer.succeed(PeerService, desk as never)))
    yield* Effect.withScheduler(Layer.build(there), process)
    const peers = yield* Effect.map(Layer.build(network.layer(A)), (context) => context.unsafeMap.get(Peers.key))
    const me = { id: "a", incarnation: "1", address: A }
    const call = yield* Effect.forkDaemon(Effect.flip((peers as Peers["Type"]).confirmHandover(B, me, "id", 1)))
    yield* Deferred.await(asked)
    dead = true
    network.crash(B)
    const failure = yield* Effect.timeoutOption(Fiber.join(call), "1 second")
    expect(failure).toMatchObject({ _tag: "Some", value: { _tag: "PeerSilent", sent: true } })
  })
)
