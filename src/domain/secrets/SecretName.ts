/**
 * The names of secrets, and when two of them are one. Files, variables and many vaults take several spellings for the same
 * secret. Code that compares names compares their canonical form, which is made here alone.
 */

/** 1–128 of A-Za-z0-9_.-, no leading dot. */
const PART = /^(?!\.)[A-Za-z0-9_.-]{1,128}$/

/** A secret of this host. */
export const isLocalName = (name: string): boolean => PART.test(name)

/** NAME, or NAME/KEY: one key of a secret in a store. */
export const isSecretName = (name: string): boolean => {
  const parts = name.split("/", 3)
  return parts.length <= 2 && parts.every(isLocalName)
}

/** Lower case, `-` and `.` as `_`: `Feed-Token`, `feed.token` and `FEED_TOKEN` are one secret. */
export const canonicalName = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9/]/g, "_")

/** A name in a message: as it was written, and beside it the canonical one where that is another. */
export const shownName = (name: string): string => {
  const canonical = canonicalName(name)
  return canonical === name ? name : `${name} (${canonical})`
}

export const VARIABLE_PREFIX = "WSM_SECRET_VALUE_"

/** The variable that holds a secret of this host. */
export const variableOf = (name: string): string => VARIABLE_PREFIX + canonicalName(name).toUpperCase()

/** The names of which another one before them is the same secret, each with that one. */
export const twins = (names: Iterable<string>): ReadonlyArray<readonly [former: string, name: string]> => {
  const seen = new Map<string, string>()
  const found: Array<readonly [string, string]> = []
  for (const name of names) {
    const canonical = canonicalName(name)
    const former = seen.get(canonical)
    if (former === undefined) seen.set(canonical, name)
    else found.push([former, name])
  }
  return found
}
