/** What the package exports says what it is: every declaration of a published module, every operation, every field of a message. */
import { existsSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { expect, it } from "vitest"

const SRC = resolve(import.meta.dirname, "../src")
const linesOf = (file: string): ReadonlyArray<string> => readFileSync(join(SRC, file), "utf8").split("\n")

/** The modules of index.ts, and the other entries of the package. */
const PUBLISHED = [
  ...[...readFileSync(join(SRC, "index.ts"), "utf8").matchAll(/from "\.\/(.+)\.js"/g)].map((match) => `${match[1]}.ts`),
  "domain/FleetMessages.ts",
  "domain/ResolvedSpec.ts",
  "testing/TestCluster.ts"
]

const hasDocstring = (lines: ReadonlyArray<string>, at: number): boolean =>
  (lines[at - 1] ?? "").trimEnd().endsWith("*/")

/** `type X = typeof X.Type` says no more than the Schema above it. */
const ALIAS = /^export type (\w+) = (?:typeof \1\.Type|\(typeof )/

it("every exported declaration of a published module has a docstring", () => {
  const missing = [...new Set(PUBLISHED)].flatMap((file) => {
    const lines = linesOf(file)
    return lines.flatMap((line, i) =>
      /^export (?:const|class|interface|type|abstract class|function) \w/.test(line) &&
      !ALIAS.test(line) &&
      !hasDocstring(lines, i)
        ? [`${file}:${i + 1}: ${line}`]
        : []
    )
  })
  expect(PUBLISHED.filter((file) => !existsSync(join(SRC, file)))).toEqual([])
  expect(missing).toEqual([])
})

it("every operation, and every field of a request or answer, has a docstring", () => {
  const member = /^ {2,4}(?:readonly )?\w+\??: /
  const missing = [
    "manager/ConnectionManager.ts",
    "domain/Messages.ts",
    "domain/FleetMessages.ts",
    "domain/Spec.ts"
  ].flatMap((file) => {
    const lines = linesOf(file)
    return lines.flatMap((line, i) =>
      member.test(line) && !hasDocstring(lines, i) ? [`${file}:${i + 1}: ${line}`] : []
    )
  })
  expect(missing).toEqual([])
})
