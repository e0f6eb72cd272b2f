/**
 * How much of what its container may have this process needs. Queues, frames and requests lie outside V8's heap, so that
 * the kernel may end the process long before the heap is full.
 *
 * Resident memory alone does not tell: what was freed after a peak is often kept, for the next one. So what counts is what
 * is held now, with what the process had beside that from the beginning, and what allocators lose between the pieces.
 */
import { totalmem } from "node:os"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

export interface Usage {
  readonly rss: number
  readonly heapUsed: number
  /** buffers and all else that objects hold outside the heap */
  readonly external: number
}

/** Of what is held: the part that allocators lose between the pieces. */
const LOST_BETWEEN = 1 / 8

const heldOf = ({ external, heapUsed }: Usage): number => heapUsed + external

/** What counts of the usage, bytes; `began` is the usage that was read at the beginning. */
export const needed = (usage: Usage, began: Usage): number =>
  Math.min(usage.rss, Math.max(0, began.rss - heldOf(began)) + heldOf(usage) * (1 + LOST_BETWEEN))

/**
 * A limit that is told counts only where it is less than the machine has: cgroups without a limit tell the largest number.
 */
export const limitOf = (told: number, machine: number): number => (told > 0 && told < machine ? told : Infinity)

/** A limit may be changed while the process runs. */
const ASK_AGAIN_MS = 10_000

export const make = () => {
  const began = process.memoryUsage()
  let limit = Infinity
  let askedAt = -Infinity
  return {
    /** Of the limit; 0 where there is none. */
    percent: (): number => {
      if (performance.now() - askedAt >= ASK_AGAIN_MS) {
        askedAt = performance.now()
        // libuv reads it from the cgroup, version 1 or 2
        limit = limitOf(process.constrainedMemory(), totalmem())
      }
      return limit === Infinity ? 0 : (100 * needed(process.memoryUsage(), began)) / limit
    }
  }
}

let gc: (() => void) | undefined

/** A major collection, now. */
export const collect = (): void => {
  if (gc === undefined) {
    setFlagsFromString("--expose-gc")
    gc = runInNewContext("gc") as () => void
  }
  gc()
}
