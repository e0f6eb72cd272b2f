/** Comments of the source: they name the actor, and a reader has understood a sentence before it is over. */
import { readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { describe, expect, it } from "vitest"

const SRC = resolve(import.meta.dirname, "../src")
/** Subjects that could be any of the parties. */
const NO_ACTOR =
  /\bI\b|\b(?:[Ww]ho|[Ww]hoever|[Nn]obody|[Ww]hom|[Ss]omebody|[Ee]verybody|[Aa]nybody|[Mm]e|[Mm]y|[Mm]ine)\b/
const MAX_WORDS = 25

interface Sentence {
  /** file:line of its comment */
  readonly at: string
  readonly text: string
}

/** The comments of a file: a block, several `//` lines in a row, or what stands behind code. Examples and quoted words are left out. */
const commentsOf = (file: string): ReadonlyArray<Sentence> => {
  const comments: Array<{ at: string; text: string; kind: string }> = []
  let open: string | undefined
  for (const [i, line] of readFileSync(join(SRC, file), "utf8").split("\n").entries()) {
    const [, kind, text] = /^\s*(\/\*\*?|\*\/?|\/\/)(?!\/)(.*?)(?:\*\/)?$/.exec(line) ?? [
      undefined,
      undefined,
      /\s\/\/ (.*)$/.exec(line)?.[1]
    ]
    const goes = kind !== undefined && kind.startsWith("*") ? open !== undefined : kind === "//" && open === "//"
    // a line of its own is the end of a paragraph, and a deeper one is a list or a diagram
    const words = (text ?? "").trim() === "" || /^\s{4}/.test(text!) ? "¶" : text!.trim()
    if (goes) comments.at(-1)!.text += ` ${words}`
    else if (text !== undefined) comments.push({ at: `${file}:${i + 1}`, text: words, kind: kind ?? "" })
    open = kind === undefined || line.includes("*/") ? undefined : kind.startsWith("/*") ? "/*" : (goes && open) || kind
  }
  return comments.map(({ at, text }) => ({ at, text: text.replace(/```[^`]*```/g, "¶") }))
}

const sentencesOf = ({ at, text }: Sentence): ReadonlyArray<Sentence> =>
  text
    .split(/(?<=[.!?])\s+(?=[^a-z])|;|¶/)
    .map((sentence) => ({ at, text: sentence.trim() }))
    .filter(({ text }) => text !== "")

const COMMENTS = (readdirSync(SRC, { recursive: true }) as Array<string>)
  .filter((file) => file.endsWith(".ts") && !file.includes("generated"))
  .flatMap(commentsOf)
const SENTENCES = COMMENTS.flatMap(sentencesOf)

const shown = ({ at, text }: Sentence): string => `${at}: ${text}`

describe("comments", () => {
  it("are found", () => {
    expect(COMMENTS.length).toBeGreaterThan(2500)
    expect(SENTENCES.length).toBeGreaterThan(4000)
  })

  it("say who does it: the source, the target, the owner, the caller, the sidecar …", () => {
    const unquoted = (text: string) => text.replace(/`[^`]*`|"[^"]*"/g, "")
    expect(SENTENCES.filter(({ text }) => NO_ACTOR.test(unquoted(text))).map(shown)).toEqual([])
  })

  it(`have at most ${MAX_WORDS} words a sentence`, () => {
    const words = (text: string) => text.split(/\s+/).filter((word) => /[A-Za-z0-9]/.test(word)).length
    expect(SENTENCES.filter(({ text }) => words(text) > MAX_WORDS).map(shown)).toEqual([])
  })
})
