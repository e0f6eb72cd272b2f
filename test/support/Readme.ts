/** The fenced blocks of the README, by language. */
import { readFileSync } from "node:fs"
import { resolve } from "node:path"

export interface Block {
  readonly language: string
  readonly text: string
}

export const README = resolve(import.meta.dirname, "../../README.md")

export const blocks = (): ReadonlyArray<Block> =>
  [...readFileSync(README, "utf8").matchAll(/^```(\w+)\n([^]*?)^```$/gm)].map((m) => ({
    language: m[1]!,
    text: m[2]!
  }))
