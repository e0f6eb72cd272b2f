import * as Context from "effect/Context"
import { expect, it } from "vitest"
import { Membership } from "../../src/membership/Membership.js"
import { World } from "./World.js"

it.each([1, 2, 3])("three that start at once never have more than the whole dial budget (seed %i)", (seed) => {
  const sums: Array<number> = []
  World.play(seed, { drift: 0 }, (world) => {
    for (let i = 0; i < 3; i++) world.start()
    const share = (number: number): number => {
      const context = world.instance(number).context()
      return context === undefined ? 0 : Context.unsafeGet(context, Membership).dialShare()
    }
    for (let i = 0; i < 160; i++) {
      world.go(50)
      sums.push(share(0) + share(1) + share(2))
    }
    // the first of them does not wait
    expect(share(0) + share(1) + share(2)).toBeCloseTo(1)
  })
  expect(Math.max(...sums)).toBeLessThanOrEqual(1 + 1e-9)
  expect(sums.findIndex((sum) => sum > 0)).toBeLessThan(20)
})
