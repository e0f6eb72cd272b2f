/** What no socket of a real peer can tell: one that never ends, whatever is asked of it. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import type { LoopContext } from "../../src/manager/connection/ConnectionLoop.js"
import type { ManagedConnection } from "../../src/manager/connection/ManagedConnection.js"
import * as Supervisor from "../../src/manager/connection/Supervisor.js"
import type { Session } from "../../src/socket/wire/Session.js"
import { managedConnection } from "../support/managedConnection.js"

/** A connection whose loop waits for the lease. */
const waiting = (): ManagedConnection =>
  managedConnection({ valid: () => false, ended: () => false, awaitEnd: Effect.never })

const neverEnding = (): ManagedConnection => {
  const connection = waiting()
  const session: Session = {
    subprotocol: "",
    send: () => Effect.void,
    pause: () => {},
    resume: () => {},
    close: () => {},
    terminate: () => {},
    ended: Effect.never
  }
  connection.opened(session, 0)
  return connection
}

const supervised = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const services: Partial<LoopContext> = { lease: { awaitHeld: Effect.never } as unknown as LoopContext["lease"] }
  return { scope, supervisor: yield* Scope.extend(Supervisor.make(services as LoopContext), scope) }
})

it.effect("whoever stops a connection waits for its socket no longer than the supervisor lives", () =>
  Effect.gen(function* () {
    const { scope, supervisor } = yield* supervised
    const stopping = yield* Effect.fork(supervisor.stop(neverEnding(), 1000, ""))
    for (let i = 0; i < 10; i++) yield* Effect.yieldNow()
    expect(stopping.unsafePoll()).toBeNull()
    yield* Scope.close(scope, Exit.void)
    // the clock stands still: no time-out ends it
    expect(Exit.isSuccess(yield* Fiber.await(stopping))).toBe(true)
  })
)

it.effect("whoever stops a connection leaves alone what dials for it under the next life", () =>
  Effect.gen(function* () {
    const { scope, supervisor } = yield* supervised
    const former = neverEnding()
    former.closedWith(4321)
    const stopping = yield* Effect.fork(supervisor.stop(former, 1000, ""))
    yield* Effect.yieldNow()
    const next = waiting()
    yield* supervisor.start(next, { failFast: false })
    const opening = yield* Effect.fork(next.opening)
    yield* TestClock.adjust("2 seconds")
    expect(Exit.isSuccess(yield* Fiber.await(stopping))).toBe(true)
    // no code was on its wire; an earlier socket's is not this one's
    expect(former.lastCloseCode).toBe(1006)
    expect(opening.unsafePoll()).toBeNull()
    yield* supervisor.stop(next, 1000, "")
    expect(Exit.isFailure(yield* Fiber.await(opening))).toBe(true)
    yield* Scope.close(scope, Exit.void)
  })
)
