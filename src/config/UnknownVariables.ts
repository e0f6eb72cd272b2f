/** `WSM_…` variables that are no setting: most often a setting that is misspelt. */
import { VARIABLE_PREFIX, variableOf } from "../domain/secrets/SecretName.js"
import { CATALOGUE, isSecret, KEYS } from "./Catalogue.js"
import { fileVariable } from "./SecretFile.js"

const KNOWN = [
  ...KEYS.flatMap((key) =>
    isSecret(key) ? [CATALOGUE[key].env, fileVariable(CATALOGUE[key].env)] : [CATALOGUE[key].env]
  ),
  "WSM_SERVER"
]

/** One line for each. Values are never shown: a misspelt token is still a token. */
export const unknownVariables = (env: Readonly<Record<string, string | undefined>>): ReadonlyArray<string> =>
  Object.keys(env)
    .filter((name) => name.startsWith("WSM_") && env[name] !== undefined && !KNOWN.includes(name))
    .filter((name) => !name.startsWith(VARIABLE_PREFIX) || variableOf(name.slice(VARIABLE_PREFIX.length)) !== name)
    .sort()
    .map((name) => {
      const near = name.startsWith(VARIABLE_PREFIX) ? variableOf(name.slice(VARIABLE_PREFIX.length)) : nearest(name)
      return `${name} is no setting and was ignored${near === undefined ? "" : `: did you mean ${near}?`}`
    })

const nearest = (name: string): string | undefined => {
  const [best] = KNOWN.map((known) => [known, distance(name, known)] as const).sort(([, a], [, b]) => a - b)
  return best !== undefined && best[1] <= 3 ? best[0] : undefined
}

/** Levenshtein distance. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + same))
    }
    row = next
  }
  return row[b.length]!
}
