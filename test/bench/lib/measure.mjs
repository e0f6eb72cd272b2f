/** What a measuring process tells of itself. */

/** Processor time of all threads so far, microseconds. */
export const cpu = () => {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** Resident bytes after what can be freed was freed. */
export const collectedRss = async () => {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return process.memoryUsage().rss
}

/**
 * Runs `each` for 0 to `count - 1`, a few at a time.
 *
 * @param {number} count @param {(i: number) => Promise<unknown>} each
 */
export const several = async (count, each, atOnce = 4) => {
  let next = 0
  const lane = async () => {
    while (next < count) await each(next++)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane))
}
