/** The fenced blocks of the README, by language and section. */
import { readFileSync } from "node:fs"
import { resolve } from "node:path"

export interface Block {
  readonly language: string
  readonly text: string
  /** the heading above it, of the second level */
  readonly section: string
}

export const README = resolve(import.meta.dirname, "../../README.md")

/** Its commands need a sidecar: they are run with the other tests of Dapr. */
export const WITH_DAPR = "With Dapr"

export const blocks = (): ReadonlyArray<Block> => {
  const text = readFileSync(README, "utf8")
  return [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].map((m) => ({
    language: m[1]!,
    text: m[2]!,
    section: /^## (.*)$/m.exec(text.slice(text.lastIndexOf("\n## ", m.index) + 1, m.index))?.[1] ?? ""
  }))
}
