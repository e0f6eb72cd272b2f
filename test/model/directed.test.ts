/** What goes wrong where a rule is missing does not go wrong. */
import { afterEach, describe, expect, it } from "vitest"
import { play } from "./Directing.js"
import { OUTSIDE } from "./EmptyStoreScenarios.js"
import { SCENARIOS } from "./Scenarios.js"

// Each is one synchronous call: the runner must hear from us between two of them.
afterEach(() => new Promise((resolve) => setTimeout(resolve, 5)))

describe("directed faults, over managers in virtual time", () => {
  it.each(SCENARIOS)("$name", { timeout: 60_000 }, (scenario) => {
    expect(play(scenario).check.found).toEqual([])
  })
})

describe("what stands just beside an excuse is found", () => {
  it.each(OUTSIDE)("$name", { timeout: 60_000 }, (scenario) => {
    const { check, idOf } = play(scenario)
    const broken = { kind: scenario.found, text: expect.stringContaining(idOf(scenario.key)) as string }
    expect(check.found).toEqual([expect.objectContaining(broken)])
  })
})
