/** What goes wrong where a rule is missing does not go wrong. */
import { describe, expect, it } from "vitest"
import { play } from "./Directing.js"
import { SCENARIOS } from "./Scenarios.js"

describe("directed faults, over managers in virtual time", () => {
  it.each(SCENARIOS)("$name", { timeout: 60_000 }, (scenario) => {
    expect(play(scenario).check.found).toEqual([])
  })
})
