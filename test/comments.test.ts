/** Comments of the source name the actor: no subject that could be any of the parties. */
import { readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { expect, it } from "vitest"

const SRC = resolve(import.meta.dirname, "../src")
const NO_ACTOR = /\b(?:whoever|nobody|whom|somebody|everybody|anybody)\b/i

/** The comment of a line, if it has one; code and texts for people are not looked at. */
const commentOf = (line: string): string => {
  const text = line.trim()
  return /^(?:\*|\/\*|\/\/)/.test(text) ? text : (/(?:^|\s)\/\/ .*$/.exec(text)?.[0] ?? "")
}

it("comments say who does it: the source, the target, the owner, the caller, the sidecar …", () => {
  const files = (readdirSync(SRC, { recursive: true }) as Array<string>).filter(
    (file) => file.endsWith(".ts") && !file.includes("generated")
  )
  const comments = files.flatMap((file) =>
    readFileSync(join(SRC, file), "utf8")
      .split("\n")
      .map((line, i) => ({ at: `${file}:${i + 1}`, comment: commentOf(line) }))
  )
  expect(comments.filter(({ comment }) => comment !== "").length).toBeGreaterThan(3000)
  expect(
    comments.filter(({ comment }) => NO_ACTOR.test(comment)).map(({ at, comment }) => `${at}: ${comment}`)
  ).toEqual([])
})
