import { describe, expect, it } from "vitest"
import { ByteBudget } from "../../src/common/ByteBudget.js"

describe("ByteBudget", () => {
  it("gives up to its limit, exactly, and again what came back", () => {
    const budget = new ByteBudget(10)
    expect(budget.take(10)).toBe(true)
    expect(budget.take(1)).toBe(false)
    budget.give(4)
    expect(budget.used).toBe(6)
    expect(budget.take(5)).toBe(false)
    expect(budget.take(4)).toBe(true)
  })

  it("what one takes its neighbours no longer have, and a refusal takes nothing anywhere", () => {
    const instance = new ByteBudget(10)
    const one = new ByteBudget(8, instance)
    const two = new ByteBudget(8, instance)
    expect(one.take(8)).toBe(true)
    expect(two.take(3)).toBe(false)
    expect([instance.used, one.used, two.used]).toEqual([8, 8, 0])
    one.give(8)
    expect(two.take(3)).toBe(true)
    expect(one.take(9)).toBe(false)
    expect([instance.used, one.used, two.used]).toEqual([3, 0, 3])
  })
})
