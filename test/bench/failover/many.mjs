/** SIGKILL of the one of three that has 3,000 connections: how soon all are up, and never faster than the dial budget. */
import { fixed, sleep } from "../lib/stats.mjs"
import { seconds, spread, upAgain } from "./bench.mjs"

const RATE = 500
const WINDOW_MS = 5000
const WITHIN_MS = { embedded: 10_000, daprd: 15_000 }

/** @param {import("./bench.mjs").Bench} bench @param {boolean} daprd */
export const many = (bench, daprd) =>
  bench.withFleet({ connections: [3000, 0, 0], dialRate: RATE, daprd }, async (inUse) => {
    const { backing, fleet, server } = inUse
    await sleep(WINDOW_MS)
    const at = Date.now()
    await fleet.kill("i0")
    const millis = await upAgain(inUse, "i0", at, 60_000)
    const within = daprd ? WITHIN_MS.daprd : WITHIN_MS.embedded
    const holds = Math.max(...millis) <= within
    bench.add(
      `SIGKILL of one with 3,000 of three${backing.name}`,
      spread(millis),
      `all within ${seconds(within)}`,
      holds
    )
    const opened = server.log.map(({ openedAt }) => openedAt).filter((one) => one >= at)
    const rate = most(opened) / (WINDOW_MS / 1000)
    bench.add("  dials per second in the worst 5 s", String(fixed(rate)), `1.1 × ${RATE}`, rate <= 1.1 * RATE)
  })

/** How many of these times lie within one window, at most. @param {ReadonlyArray<number>} times in order */
const most = (times) => {
  let found = 0
  let from = 0
  times.forEach((time, i) => {
    while (times[from] <= time - WINDOW_MS) from++
    found = Math.max(found, i - from + 1)
  })
  return found
}
