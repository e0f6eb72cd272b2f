/** What is remembered of many that come and go: the latest, up to a limit. */

/** To be called after each addition: over its limit, the collection forgets what it has had longest. */
export const evictOldest = (of: Set<string> | Map<string, unknown>, limit: number): void => {
  if (of.size > limit) of.delete(of.keys().next().value!)
}
