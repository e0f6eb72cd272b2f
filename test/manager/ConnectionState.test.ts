/** Every change of a connection's state, and what it excludes. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { describe, expect, expectTypeOf, it } from "vitest"
import { OneShot } from "../../src/common/OneShot.js"
import { CONNECTED, FAILED } from "../../src/domain/ConnectionStatus.js"
import type { FirstDial } from "../../src/manager/connection/ConnectionState.js"
import type { ManagedConnection } from "../../src/manager/connection/ManagedConnection.js"
import type { Session } from "../../src/socket/wire/Session.js"
import { managedConnection } from "../support/managedConnection.js"

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** Names of fields, methods aside, that the compiler lets anybody assign; `npm run check` compares them. */
type AssignableFields<C> = {
  [K in keyof C]-?: C[K] extends (...args: never) => unknown
    ? never
    : Same<Pick<C, K>, Readonly<Pick<C, K>>> extends true
      ? never
      : K
}[keyof C]

const session = (calls: Array<string> = []): Session => ({
  subprotocol: "",
  send: () => Effect.void,
  pause: () => void calls.push("pause"),
  resume: () => void calls.push("resume"),
  close: () => {},
  terminate: () => {},
  ended: Effect.never
})

const firstDial = (): FirstDial => new OneShot()

describe("the phase of a connection", () => {
  const start = (c: ManagedConnection) => c.started(firstDial(), false)
  const halt = (c: ManagedConnection) => c.halted()
  const remove = (c: ManagedConnection) => c.removing()
  const cut = (c: ManagedConnection) => c.removed()

  it.each([
    { steps: [], phase: "active", halted: false, gone: false },
    { steps: [halt], phase: "stopping", halted: true, gone: false },
    { steps: [halt, start], phase: "active", halted: false, gone: false },
    { steps: [remove], phase: "removing", halted: false, gone: true },
    { steps: [remove, halt], phase: "removed", halted: true, gone: true },
    { steps: [halt, remove], phase: "removed", halted: true, gone: true },
    { steps: [cut], phase: "removed", halted: true, gone: true },
    { steps: [remove, cut], phase: "removed", halted: true, gone: true },
    { steps: [cut, halt], phase: "removed", halted: true, gone: true }
  ])("is $phase after $steps.length steps", ({ gone, halted, phase, steps }) => {
    const c = managedConnection()
    for (const step of steps) step(c)
    expect({ phase: c.phase, halted: c.isHalted(), gone: c.isGone() }).toEqual({ phase, halted, gone })
  })

  it("is changed by methods alone, as every other field: none can be assigned from outside", () => {
    expectTypeOf<AssignableFields<ManagedConnection>>().toBeNever()
    // and a field that could be is found
    expectTypeOf<AssignableFields<{ open: boolean; readonly closed: boolean; close(): void }>>().toEqualTypeOf<"open">()
  })
})

describe("the start of a connection", () => {
  it("tells the waiters for the open once it is gone", () => {
    const c = managedConnection()
    c.removed()
    c.startRefused()
    expect(Exit.isFailure(Effect.runSyncExit(c.opening))).toBe(true)
  })

  it("keeps a connection whose caller has gone, though it was to fail fast", () => {
    const c = managedConnection()
    c.started(firstDial(), true)
    c.keptWithoutCaller()
    expect(c.failFast).toBe(false)
  })

  it("tells once whether it came to a socket: open, given up, or removed", () => {
    const told: Array<boolean> = []
    const open = managedConnection()
    open.onceSettled((is) => told.push(is))
    open.opened(session(), 1)
    expect(told).toEqual([])
    open.openTold(true)
    open.removed()
    expect(told).toEqual([true])
    const failed = managedConnection()
    failed.onceSettled((is) => told.push(is))
    failed.change("lost")
    expect(told).toEqual([true])
    failed.change("gave-up")
    expect([failed.status, ...told]).toEqual([FAILED, true, false])
    const removed = managedConnection()
    removed.onceSettled((is) => told.push(is))
    removed.removing()
    expect(told).toEqual([true, false, false])
  })

  it("forgets what was counted against the peer at a Reconnect", () => {
    const c = managedConnection()
    c.attempted(7)
    c.tookTooLong(0, 1000)
    c.tookTooLong(500, 1000)
    expect([c.expensiveTurns, c.expensiveSince]).toEqual([2, 0])
    c.tookTooLong(2000, 1000)
    expect([c.expensiveTurns, c.expensiveSince]).toEqual([1, 2000])
    c.restarted()
    expect([c.attempts, c.expensiveTurns]).toEqual([0, 0])
  })
})

describe("the socket of a connection", () => {
  it("is paused from the beginning while its lane is full, and read on when the lane has room", () => {
    const calls: Array<string> = []
    const c = managedConnection()
    c.pauseReading()
    c.opened(session(calls), 5)
    c.resumeReading()
    expect({ calls, status: c.status, at: c.connectedAt }).toEqual({
      calls: ["pause", "resume"],
      status: CONNECTED,
      at: 5
    })
  })

  it("is not there any more once it has ended, and its requests are aborted once", () => {
    const c = managedConnection()
    c.opened(session(), 5)
    c.sessionEnded()
    c.sessionEnded()
    expect(c.session).toBeUndefined()
  })
})

describe("a planned move", () => {
  const move = (c: ManagedConnection) => ({ moving: c.isMoving(), overlapping: c.isOverlapping(), held: c.isHeld() })

  it("without an overlap holds the frames back once what was read is published", () => {
    const c = managedConnection()
    c.moveBegun(Effect.void)
    expect(move(c)).toEqual({ moving: true, overlapping: false, held: false })
    c.publishingHeld()
    expect(move(c)).toEqual({ moving: true, overlapping: false, held: true })
    c.publishingReleased()
    c.moveEnded()
    expect(move(c)).toEqual({ moving: false, overlapping: false, held: false })
  })

  it("with an overlap uses its socket on until it has ended", () => {
    const c = managedConnection()
    c.moveBegun(Effect.void)
    c.moveOverlaps(true)
    expect(move(c)).toEqual({ moving: true, overlapping: true, held: false })
    c.moveEnded()
    expect(move(c)).toEqual({ moving: false, overlapping: false, held: false })
  })

  it("cannot overlap or hold frames back where none was begun", () => {
    const c = managedConnection()
    c.moveOverlaps(true)
    c.publishingHeld()
    expect(move(c)).toEqual({ moving: false, overlapping: false, held: false })
  })

  it("to this instance holds the frames back until the former owner has confirmed", () => {
    const c = managedConnection()
    c.movedHere(100)
    const { migration } = c
    expect(move(c)).toEqual({ moving: false, overlapping: false, held: true })
    c.publishingReleased()
    expect(move(c)).toEqual({ moving: false, overlapping: false, held: false })
    expect(migration._tag === "Target" && Effect.runSync(Deferred.isDone(migration.confirmed))).toBe(true)
  })

  it("is given on with its frames still held back, and a kept connection goes on waiting", () => {
    const c = managedConnection()
    c.movedHere(100)
    c.moveBegun(Effect.void)
    expect(move(c)).toEqual({ moving: true, overlapping: false, held: true })
    c.moveEnded()
    expect(move(c)).toEqual({ moving: false, overlapping: false, held: true })
    c.publishingReleased()
    expect(move(c)).toEqual({ moving: false, overlapping: false, held: false })
  })

  it("to this instance is not waited for once the connection is removed", () => {
    const c = managedConnection()
    c.movedHere(100)
    const { migration } = c
    c.removing()
    expect(migration._tag === "Target" && Effect.runSync(Deferred.isDone(migration.confirmed))).toBe(true)
  })
})
