/**
 * Generated sequences of calls and faults over managers in virtual time: the promises hold after each step, and once all is
 * healed everything that should be up is up. A seed is one sequence; a failure names it at once, then made small.
 * More of them: `npm run test:model`.
 */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { beforeAll, describe, expect, it } from "vitest"
import { bundle } from "./bundle.mjs"
import type { Violation } from "./Checker.js"

const SEQUENCES = 300
const PARTS = 12
/** Of all that break a promise in one part, to be made small: less than what a part has left. */
const SHRINK_FOR = 45

/** Of long runs: an epoch that was lost with the store was given again in the same second. */
const BROKEN_ONCE = [4219, 4611, 5151, 8782]

interface Line {
  readonly seed: number
  readonly found?: ReadonlyArray<Violation>
  readonly small?: string
}

/** Every line, as soon as it is there; whoever ends the test by its time-out has those of the bad seeds. */
const played = (file: string, ...args: ReadonlyArray<string | number>): Promise<ReadonlyArray<Line>> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file, "seeds", ...args.map(String)], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const lines: Array<Line> = []
    createInterface({ input: child.stdout })
      .on("line", (text) => {
        const line = JSON.parse(text) as Line
        lines.push(line)
        if (line.found?.length !== 0) process.stderr.write(`a promise is broken: ${text}\n`)
      })
      .on("close", () => resolve(lines))
    child.on("error", reject)
  })

describe("generated sequences of calls and faults", () => {
  let file: string
  beforeAll(async () => {
    file = await bundle("random")
  })

  const parts = Array.from({ length: PARTS }, (_, i) => (SEQUENCES / PARTS) * i + 1)
  it.each(parts)("keep the promises, from seed %i on", { timeout: 180_000 }, async (from) => {
    const lines = await played(file, from, from + SEQUENCES / PARTS - 1, "--shrink-for", SHRINK_FOR)
    expect(lines.filter(({ found }) => found?.length !== 0)).toEqual([])
    expect(lines.length).toBe(SEQUENCES / PARTS)
  })

  it.each(BROKEN_ONCE)("keep the promises that seed %i broke once", { timeout: 60_000 }, async (seed) => {
    const lines = await played(file, seed, seed, "--as-drawn")
    expect(lines.map(({ found }) => found)).toEqual([[]])
  })
})
