/**
 * Generated sequences of calls and faults over managers in virtual time: the promises hold after each step, and once all is
 * healed everything that should be up is up. A seed is one sequence; a failure names it, made as small as a minute allows.
 * More of them: `npm run test:model`.
 */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { beforeAll, describe, expect, it } from "vitest"
import { bundle } from "./bundle.mjs"
import type { Violation } from "./Checker.js"

const node = promisify(execFile)
const SEQUENCES = 300
const PARTS = 12

interface Line {
  readonly seed: number
  readonly found: ReadonlyArray<Violation>
}

describe("generated sequences of calls and faults", () => {
  let file: string
  beforeAll(async () => {
    file = await bundle("random")
  })

  const parts = Array.from({ length: PARTS }, (_, i) => (SEQUENCES / PARTS) * i + 1)
  it.each(parts)("keep the promises, from seed %i on", { timeout: 180_000 }, async (from) => {
    const to = from + SEQUENCES / PARTS - 1
    const { stdout } = await node(process.execPath, [file, "seeds", String(from), String(to)], { maxBuffer: 1 << 26 })
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line)
    expect(lines.filter(({ found }) => found.length > 0)).toEqual([])
    expect(lines.length).toBe(SEQUENCES / PARTS)
  })
})
