/**
 * Plays what its arguments say, and prints a line of JSON for each: `scenario <beginning of its name>…`, or
 * `seeds <from> <to> [--trace] [--as-drawn] [--shrink-for <seconds>]`, one plan a seed. One that breaks a promise is told at once;
 * then it is made small, as long as the seconds of this process last, and told again, unless it shall stay as it was drawn.
 */
import { describe, planOf, run, shrink } from "./Plan.js"
import { play } from "./Directing.js"
import { SCENARIOS } from "./Scenarios.js"

const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`)
const [what, ...rest] = process.argv.slice(2)
const traced = rest.includes("--trace")
const at = rest.indexOf("--shrink-for")
const shrinkFor = rest.includes("--as-drawn") ? 0 : 1000 * (at === -1 ? 60 : Number(rest[at + 1]))

if (what === "scenario") {
  for (const name of rest.filter((word) => word !== "--trace")) {
    const scenario = SCENARIOS.find((one) => one.name.startsWith(name))
    if (scenario === undefined) throw new Error(`there is no scenario ${name}`)
    const world = play(scenario, traced)
    say({ scenario: scenario.name, found: world.check.found, ...(traced && { trace: world.trace }) })
  }
} else {
  const [from = 1, to = from] = rest.map(Number)
  let left = shrinkFor
  for (let seed = from; seed <= to; seed++) {
    const plan = planOf(seed)
    const { counts, found, trace } = run(plan, traced)
    say({ seed, found, counts, ...(traced && { trace }), ...(found.length > 0 && { plan: describe(plan) }) })
    if (found.length === 0 || left <= 0) continue
    const began = Date.now()
    const small = shrink(seed, found[0]!.kind, left)
    left -= Date.now() - began
    say({ seed, small: describe(small), steps: [plan.steps.length, small.steps.length] })
  }
}
