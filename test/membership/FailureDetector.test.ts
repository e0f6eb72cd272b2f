import { describe, expect, it } from "@effect/vitest"
import * as fc from "effect/FastCheck"
import { marginOf } from "../../src/domain/stored/InstanceRecord.js"
import { judge, nextChange, type Seen } from "../../src/membership/peers/FailureDetector.js"

/** ttl 6 s, margin 500 ms; everything happened at 10 s */
const AT = 10_000
const seen = (change: Partial<Seen> = {}): Seen => ({
  ttlMs: 6000,
  intervalMs: 2000,
  changedAt: AT,
  listeningSince: AT,
  triedAt: AT,
  greetedAt: AT,
  ...change
})

describe("the judge of a peer", () => {
  it.each([
    ["just heard", seen(), AT, "alive"],
    ["silent for half its ttl", seen(), AT + 3000, "alive"],
    ["silent for longer", seen(), AT + 3001, "suspect"],
    ["silent for its ttl and the margin", seen(), AT + 6500, "suspect"],
    ["silent for longer than that", seen(), AT + 6501, "dead"],
    ["a beat counts anew", seen({ changedAt: AT + 5000 }), AT + 11_500, "suspect"],
    ["listening counts anew", seen({ listeningSince: AT + 5000 }), AT + 11_500, "suspect"],
    ["its answer to my hello counts anew", seen({ greetedAt: AT + 5000 }), AT + 11_500, "suspect"],
    ["the latest of the three counts", seen({ changedAt: 0, listeningSince: 0, greetedAt: AT }), AT + 6500, "suspect"],
    ["not while I do not listen", seen({ listeningSince: undefined }), AT + 1e9, "alive"],
    ["not before I tried to say hello", seen({ triedAt: undefined, greetedAt: undefined }), AT + 1e9, "alive"],
    ["from my first try if it never answers", seen({ triedAt: AT + 100, greetedAt: undefined }), AT + 6601, "dead"],
    ["by the ttl in its own record", seen({ ttlMs: 60_000 }), AT + 60_500, "suspect"],
    ["by the interval in its own record", seen({ intervalMs: 8000 }), AT + 8000, "suspect"],
    ["the margin is at least 250 ms", seen({ intervalMs: 100 }), AT + 6250, "suspect"]
  ] as const)("%s", (_, facts, now, judgement) => {
    expect(judge(facts, now)).toBe(judgement)
  })

  const time = fc.nat(100_000)
  const facts = fc.record({
    ttlMs: fc.integer({ min: 300, max: 20_000 }),
    intervalMs: fc.integer({ min: 100, max: 5000 }),
    changedAt: time,
    listeningSince: fc.option(time, { nil: undefined }),
    triedAt: fc.option(time, { nil: undefined }),
    greetedAt: fc.option(time, { nil: undefined })
  })
  const RANK = { alive: 0, suspect: 1, dead: 2 }

  it("says dead only when each of the three is longer ago than ttl and margin, and always then", () => {
    fc.assert(
      fc.property(facts, time, (facts, now) => {
        const hello = facts.greetedAt ?? facts.triedAt
        const longAgo = (at: number | undefined) =>
          at !== undefined && now - at > facts.ttlMs + marginOf(facts.intervalMs)
        const all = longAgo(facts.changedAt) && longAgo(facts.listeningSince) && longAgo(hello)
        expect(judge(facts, now) === "dead").toBe(all)
      })
    )
  })

  it("without news a peer never gets better, and any news makes none worse", () => {
    fc.assert(
      fc.property(facts, time, time, (facts, now, later) => {
        expect(RANK[judge(facts, now + later)]).toBeGreaterThanOrEqual(RANK[judge(facts, now)])
        for (const news of ["changedAt", "listeningSince", "greetedAt"] as const) {
          const before = facts[news]
          if (before === undefined || before > now) continue
          expect(RANK[judge({ ...facts, [news]: now }, now)]).toBeLessThanOrEqual(RANK[judge(facts, now)])
        }
      })
    )
  })

  it("knows when its judgement changes next", () => {
    fc.assert(
      fc.property(facts, time, (facts, now) => {
        const before = judge(facts, now)
        const at = nextChange(facts, now)
        if (before === "dead" || at === undefined) return
        expect(judge(facts, at)).toBe(before)
        expect(judge(facts, at + 1)).not.toBe(before)
      })
    )
  })
})
