/**
 * Plays what its arguments say, and prints a line of JSON for each: `scenario <beginning of its name>…`, or
 * `seeds <from> <to> [--trace] [--as-drawn]`, one plan a seed; one that breaks a promise is made small, unless it shall stay as
 * it was drawn.
 */
import { describe, planOf, run, shrink } from "./Plan.js"
import { play, SCENARIOS } from "./Scenarios.js"

const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`)
const [what, ...rest] = process.argv.slice(2)
const traced = rest.includes("--trace")
const asDrawn = rest.includes("--as-drawn")

if (what === "scenario") {
  for (const name of rest.filter((word) => word !== "--trace")) {
    const scenario = SCENARIOS.find((one) => one.name.startsWith(name))
    if (scenario === undefined) throw new Error(`there is no scenario ${name}`)
    const world = play(scenario, traced)
    say({ scenario: scenario.name, found: world.check.found, ...(traced && { trace: world.trace }) })
  }
} else {
  const [from = 1, to = from] = rest.map(Number)
  for (let seed = from; seed <= to; seed++) {
    const plan = planOf(seed)
    const { counts, found, trace } = run(plan, traced)
    const failed = found.length > 0 && {
      plan: describe(plan),
      ...(!asDrawn && { small: describe(shrink(seed, found[0]!.kind)) })
    }
    say({ seed, found, counts, ...(traced && { trace }), ...failed })
  }
}
