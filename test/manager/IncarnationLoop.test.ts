import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { CONNECTING } from "../../src/domain/ConnectionStatus.js"
import * as IncarnationLoop from "../../src/manager/connection/IncarnationLoop.js"
import type { ManagerContext } from "../../src/manager/connection/ManagerContext.js"
import * as Health from "../../src/manager/Health.js"
import type { Incarnation, Lease, LeaseChange } from "../../src/membership/lease/Lease.js"
import * as Essentials from "../../src/observability/Essentials.js"
import type { Reclaimer } from "../../src/ownership/Reclaimer.js"
import { managedConnection } from "../support/managedConnection.js"

const lifeOf = (incarnation: string) => {
  const end = Deferred.unsafeMake<void>(FiberId.none)
  let over = false
  return {
    incarnation,
    ended: () => over,
    valid: () => !over,
    awaitEnd: Deferred.await(end),
    end: () => {
      over = true
      Deferred.unsafeDone(end, Effect.void)
    }
  }
}

/** What follows the lease works with of a manager, and a lease whose lives the test begins and ends. */
const bench = Effect.gen(function* () {
  const listeners = new Set<(change: LeaseChange, life: Incarnation) => void>()
  let life = lifeOf("first")
  const cut: Array<string> = []
  const restarts: Array<string> = []
  const connections = new Map<string, unknown>()
  const clock = yield* Effect.clock
  const lease = {
    awaitHeld: Effect.suspend(() => (life.ended() ? Effect.never : Effect.succeed(life))),
    onChange: (listener: (change: LeaseChange, of: Incarnation) => void) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    }
  } as unknown as Lease["Type"]
  const settled = yield* Effect.makeLatch(false)
  const over = yield* Effect.makeLatch(false)
  const core = {
    lease,
    connections,
    phase: Health.makePhase(),
    claims: { drained: over, closed: false },
    events: { emit: () => {} },
    store: { claimOwn: Stream.empty },
    supervisor: { cut: ({ id }: { readonly id: string }) => Effect.sync(() => void cut.push(id)) },
    essentials: Essentials.make(
      () => Number(clock.unsafeCurrentTimeNanos()) / 1e6,
      (fiber) => restarts.push(fiber)
    )
  } as unknown as ManagerContext
  const add = (id: string) => connections.set(id, managedConnection(life, CONNECTING, id))
  const next = (incarnation: string): void => {
    const ended = life
    ended.end()
    life = lifeOf(incarnation)
    for (const listener of listeners) listener("ended", ended as unknown as Incarnation)
  }
  return { core, add, next, cut, restarts, connections, settled }
})

const claims = (begin: () => void) =>
  ({
    claims: () => {
      begin()
      return Stream.never
    }
  }) as unknown as Reclaimer["Type"]

describe("who follows this instance's lives", () => {
  it.scoped("ends what a life had that ended while it was to be begun again after a defect", () =>
    Effect.gen(function* () {
      const { add, connections, core, cut, next, restarts, settled } = yield* bench
      let begun = 0
      const reclaimer = claims(() => {
        if (begun++ === 0) throw new TypeError("x")
      })
      add("one")
      add("two")
      yield* IncarnationLoop.follow(core, reclaimer, settled)
      yield* TestClock.adjust(10)
      expect([begun, restarts]).toEqual([1, ["lives of this instance"]])
      next("second")
      add("of the second life")
      yield* TestClock.adjust("2 seconds")
      expect([begun, cut, [...connections.keys()]]).toEqual([2, ["one", "two"], ["of the second life"]])
      // and the next one as ever
      next("third")
      yield* TestClock.adjust(10)
      expect([begun, connections.size]).toEqual([3, 0])
    })
  )

  it.scoped("leaves a life that goes on what it has, when it is begun again", () =>
    Effect.gen(function* () {
      const { add, connections, core, settled } = yield* bench
      let begun = 0
      const reclaimer = claims(() => {
        if (begun++ < 2) throw new TypeError("x")
      })
      add("one")
      yield* IncarnationLoop.follow(core, reclaimer, settled)
      yield* TestClock.adjust("5 seconds")
      expect([begun, connections.size]).toEqual([3, 1])
    })
  )
})
