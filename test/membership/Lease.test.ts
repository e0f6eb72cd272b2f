import { describe, expect, it } from "@effect/vitest"
import type { Instant, SuspendAwareClock } from "../../src/common/SuspendAwareClock.js"
import { IncarnationState } from "../../src/membership/lease/Incarnation.js"
import * as LeaseController from "../../src/membership/lease/LeaseController.js"

const PERIODS = { interval: 2000, ttl: 6000, margin: 500, lease: 5500, deadline: 1000, eighth: 250 }

/** Two clocks, set by hand. */
const clocks = () => {
  const at = { monotonic: 0, wall: 1_000_000 }
  const elapsed: SuspendAwareClock = {
    now: () => at.wall,
    mark: (): Instant => ({ ...at }),
    since: (mark) => Math.max(at.monotonic - mark.monotonic, at.wall - mark.wall)
  }
  const pass = (ms: number, suspended = false) => {
    at.wall += ms
    if (!suspended) at.monotonic += ms
  }
  return { elapsed, pass }
}

const held = () => {
  const { elapsed, pass } = clocks()
  const life = new IncarnationState("life", elapsed, PERIODS)
  const board = LeaseController.make(life)
  const changes: Array<string> = []
  board.lease.onChange((change) => changes.push(change))
  life.renew(elapsed.mark())
  board.joined(life)
  return { board, changes, elapsed, life, pass }
}

describe("the lease", () => {
  it("runs for ttl less margin from the mark of the beat that landed", () => {
    const { life, pass } = held()
    pass(5499)
    expect(life.valid()).toBe(true)
    pass(1)
    expect(life.valid()).toBe(false)
  })

  it("ends while the machine is suspended, though its monotonic clock stood still", () => {
    const { life, pass } = held()
    pass(5500, true)
    expect(life.valid()).toBe(false)
  })

  it("that ran out is not revived by an extension, only by a beat", () => {
    const { board, elapsed, life, pass } = held()
    pass(6000)
    expect(life.valid()).toBe(false)
    life.extendAlone(elapsed.mark())
    life.grant("peer", elapsed.mark())
    expect(life.valid()).toBe(false)
    board.renew(life, elapsed.mark())
    expect(life.valid()).toBe(true)
  })

  it("is not revived by a beat that was sent too long ago", () => {
    const { board, elapsed, life, pass } = held()
    const sent = elapsed.mark()
    pass(6000)
    board.renew(life, sent)
    expect(life.valid()).toBe(false)
  })

  it("that ran out unnoticed is told as lost before the beat that revives it", () => {
    const { board, changes, elapsed, pass } = held()
    pass(30_000)
    board.renew(board.present(), elapsed.mark())
    expect(changes).toEqual(["held", "lost", "held"])
  })

  it("knows the store to be away after an attempt that failed, not after a freeze", () => {
    const { elapsed, life, pass } = held()
    expect(life.storeAway()).toBe(false)
    const sent = elapsed.mark()
    pass(1000)
    life.miss(sent)
    expect(life.storeAway()).toBe(true)
    // frozen between two attempts, and within one
    pass(30_000, true)
    expect(life.storeAway()).toBe(false)
    life.miss(sent)
    expect(life.storeAway()).toBe(false)
    life.miss(elapsed.mark())
    expect(life.storeAway()).toBe(true)
    life.answered()
    expect(life.storeAway()).toBe(false)
  })

  it("ends once, and is never valid again", () => {
    const { board, changes, elapsed, life } = held()
    board.end(life, "fenced")
    board.end(life, "fenced")
    board.renew(life, elapsed.mark())
    expect(life.valid()).toBe(false)
    expect(changes).toEqual(["held", "ended"])
  })

  it("tells every listener, also when one of them fails", () => {
    const { board, life } = held()
    const told: Array<string> = []
    board.lease.onChange(() => {
      throw new Error("a listener that fails")
    })
    board.lease.onChange((change) => told.push(change))
    expect(() => board.end(life, "fenced")).toThrow("a listener that fails")
    expect(told).toEqual(["ended"])
  })
})
