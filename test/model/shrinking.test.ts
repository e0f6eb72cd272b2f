/** A sequence that breaks a promise is told at once, and then told again with less in it. */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { expect, it } from "vitest"
import { bundle } from "./bundle.mjs"
import type { Violation } from "./Checker.js"
import { MUTATIONS } from "./Mutations.js"

/** Of 23 steps, under a protocol that uses an epoch twice. */
const SEED = 35
const SHRINK_FOR = 12

interface Line {
  readonly seed: number
  readonly found?: ReadonlyArray<Violation>
  readonly plan?: string
  readonly small?: string
}

const stepsOf = (plan: string | undefined): number =>
  (JSON.parse(plan!) as { readonly steps: ReadonlyArray<string> }).steps.length

it("a sequence that fails is printed before it is made small, and then smaller", { timeout: 120_000 }, async () => {
  const { edits } = MUTATIONS.find(({ name }) => name === "reuse an epoch")!
  const file = await bundle("shrinking", edits)
  const args = [file, "seeds", SEED, SEED, "--shrink-for", SHRINK_FOR].map(String)
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
  const lines: Array<{ readonly line: Line; readonly at: number }> = []
  for await (const text of createInterface({ input: child.stdout })) {
    lines.push({ line: JSON.parse(text) as Line, at: performance.now() })
  }
  const [drawn, small] = lines
  expect(lines.length).toBe(2)
  expect(drawn!.line.found).not.toEqual([])
  expect(small!.at - drawn!.at).toBeGreaterThan(1_000)
  expect(small!.line.seed).toBe(SEED)
  expect(stepsOf(small!.line.small)).toBeLessThanOrEqual(stepsOf(drawn!.line.plan) / 2)
})
