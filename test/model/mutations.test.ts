/** The protocol broken on purpose, one rule at a time: the model must find each. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"
import { bundle } from "./bundle.mjs"
import type { Violation } from "./Checker.js"
import type { Edit } from "./Edits.js"
import { MUTATIONS } from "./Mutations.js"

const node = promisify(execFile)

const played = async (
  name: string,
  scenario: string,
  edits: ReadonlyArray<Edit>
): Promise<ReadonlyArray<Violation>> => {
  const file = await bundle(name.replace(/\W+/g, "-"), edits)
  const { stdout } = await node(process.execPath, [file, "scenario", scenario], { timeout: 60_000 })
  return (JSON.parse(stdout) as { readonly found: ReadonlyArray<Violation> }).found
}

describe("the protocol, broken on purpose, is found out", () => {
  it.for(MUTATIONS)("$name", { timeout: 90_000 }, async ({ edits, found, kind = "", name }) => {
    const broken = (await played(name, found, edits)).map((violation) => violation.kind)
    expect(broken).toContainEqual(expect.stringMatching(new RegExp(`^(?!the scenario did not come about)${kind}`)))
  })
})
