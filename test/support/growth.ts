/** How the cost of something grows with its input, on a machine that does other things too. */

/** Below this a run says nothing about growth, and is cheap whatever it is. */
const NOTHING_MS = 1.5
const ROUNDS = 40

/** Processor time of this process: what others take of the cores is not in it. */
const once = (run: () => unknown): number => {
  const began = process.cpuUsage()
  run()
  const { system, user } = process.cpuUsage(began)
  return (system + user) / 1000
}

/** The cost of `large` as a multiple of that of `small`: the best of several runs of each, and of more while it is not below `limit`. */
export const growth = (small: () => unknown, large: () => unknown, limit: number): number => {
  let [least, most] = [Infinity, Infinity]
  for (let round = 0; round < ROUNDS; round++) {
    least = Math.min(least, once(small))
    most = Math.min(most, once(large))
    if (round >= 2 && (most < NOTHING_MS || most / least < limit)) break
  }
  return most < NOTHING_MS ? 1 : most / least
}
