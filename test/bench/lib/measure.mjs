/** What a measuring process tells of itself. */

/** Processor time of all threads so far, microseconds. */
export const cpu = () => {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** Resident bytes once they stand still: what can be freed is given back over several collections. */
export const collectedRss = async () => {
  let least = Infinity
  for (let i = 0, still = 0; i < 30 && still < 4; i++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 200))
    const { rss } = process.memoryUsage()
    still = rss > least * 0.995 ? still + 1 : 0
    least = Math.min(least, rss)
  }
  return least
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
