/** Numbers of several rounds, and the table they end in. */
import { setTimeout as sleep } from "node:timers/promises"

export { sleep }

/** @param {ReadonlyArray<number>} values */
export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * @param {ReadonlyArray<number>} values
 * @param {number} part from 0 to 1
 */
export const quantile = (values, part) => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]
}

/** @param {number} value @param {number} digits */
export const fixed = (value, digits = 2) => Number(value.toFixed(digits))

/** @param {ReadonlyArray<ReadonlyArray<string>>} rows the first is the heading */
export const table = (rows) => {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  const line = (/** @type {ReadonlyArray<string>} */ row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("  ")
      .trimEnd()
  return [line(rows[0]), widths.map((width) => "-".repeat(width)).join("  "), ...rows.slice(1).map(line)].join("\n")
}

/**
 * Asks until the answer is the same twice in a row, a while apart.
 *
 * @param {() => Promise<number>} ask
 */
export const standstill = async (ask, everyMs = 100, withinMs = 10_000) => {
  const deadline = Date.now() + withinMs
  let before = await ask()
  for (;;) {
    await sleep(everyMs)
    const now = await ask()
    if (now === before) return now
    if (Date.now() > deadline) throw new Error(`still moving after ${withinMs} ms: ${now}`)
    before = now
  }
}
