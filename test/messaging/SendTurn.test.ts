/** Callers' messages take turns: what comes at once is not worked on in one turn of the event loop. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { setImmediate as nextTurn } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { CALLER } from "../../src/domain/Limits.js"
import { SendTurn } from "../../src/messaging/SendTurn.js"

/** Begins all at once; what had begun after each turn of the loop, until all have. */
const turnsOf = async (sizes: ReadonlyArray<number>, between?: (n: number) => void) => {
  const sending = new SendTurn()
  const begun: Array<number> = []
  const fibers = sizes.map((bytes, i) => Effect.runFork(Effect.map(sending.begin(bytes), () => void begun.push(i))))
  const counts: Array<number> = [begun.length]
  for (let turn = 0; turn < 100 && begun.length < sizes.length; turn++) {
    between?.(begun.length)
    await nextTurn()
    if (begun.length > counts.at(-1)!) counts.push(begun.length)
  }
  return { begun, counts, fibers }
}

describe("messages of callers that come at once", () => {
  it("are worked on one in a turn when they are large, first come, first served", async () => {
    const { begun, counts } = await turnsOf(Array.from({ length: 6 }, () => 14 * CALLER.TURN_BYTES))
    expect(begun).toEqual([0, 1, 2, 3, 4, 5])
    expect(counts).toEqual([1, 2, 3, 4, 5, 6])
  })

  it("share a turn as far as they fit", async () => {
    const { counts } = await turnsOf(Array.from({ length: 9 }, () => CALLER.TURN_BYTES / 3))
    expect(counts).toEqual([3, 6, 9])
  })

  it("never wait when they are small", async () => {
    const { counts } = await turnsOf([14 * CALLER.TURN_BYTES, ...Array.from({ length: 500 }, () => 4096)])
    expect(counts).toEqual([501])
  })

  it("leave their place when their caller goes away, and those behind go on", async () => {
    const sending = new SendTurn()
    const size = 2 * CALLER.TURN_BYTES
    Effect.runSync(sending.begin(size))
    const gone = Effect.runFork(sending.begin(size))
    const behind = Effect.runFork(sending.begin(size))
    await Effect.runPromise(Fiber.interrupt(gone))
    await Effect.runPromise(Effect.timeout(Fiber.join(behind), "5 seconds"))
    await nextTurn()
    expect(Effect.runSync(Effect.as(sending.begin(size), "at once"))).toBe("at once")
  })
})
