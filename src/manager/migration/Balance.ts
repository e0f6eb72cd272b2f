/** How connections are spread over instances: which one takes the next, and which moves make them even. Pure. */

/** So many connections from one instance to another. */
export interface Transfer {
  readonly from: string
  readonly to: string
  readonly count: number
}

/** The one with the fewest connections; of several the first. */
export const leastLoaded = <A extends { readonly id: string }>(
  instances: ReadonlyArray<A>,
  load: (id: string) => number
): A | undefined => {
  let least: A | undefined
  for (const instance of instances) if (least === undefined || load(instance.id) < load(least.id)) least = instance
  return least
}

/**
 * The fewest moves after which every instance is within one of the mean, at most `limit` of them. Those that have most give
 * first, and those that have least are given first.
 */
export const evenOut = (counts: ReadonlyMap<string, number>, limit: number): ReadonlyArray<Transfer> => {
  const byCount = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
  const total = byCount.reduce((sum, [, count]) => sum + count, 0)
  const mean = Math.floor(total / Math.max(1, byCount.length))
  const over = total - mean * byCount.length
  // what does not divide stays with those that have most
  const surplus = byCount.map(([id, count], i) => ({ id, n: count - mean - (i < over ? 1 : 0) }))
  const givers = surplus.filter(({ n }) => n > 0)
  const takers = surplus.filter(({ n }) => n < 0).toReversed()
  const transfers: Array<Transfer> = []
  let left = limit
  for (const giver of givers) {
    for (const taker of takers) {
      const count = Math.min(giver.n, -taker.n, left)
      if (count <= 0) continue
      giver.n -= count
      taker.n += count
      left -= count
      transfers.push({ from: giver.id, to: taker.id, count })
    }
  }
  return transfers
}
