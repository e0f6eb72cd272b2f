/**
 * The file descriptors of this process: how many are free, and that some stay free for the doors, the health checks and the
 * store. A part that opens many of its own accord, dials above all, asks here first. A part that only answers does not ask,
 * and has a bounded share.
 */
import { maxFiles, openFiles } from "./ProcessMetrics.js"

const RESERVE_LEAST = 16
const RESERVE_MOST = 1024
/** The part of the limit that stays free is one in so many. */
const RESERVE_SHARE = 16
/** The part of the limit that one door may have is one in so many: what is dialled and kept has the larger part. */
const DOOR_SHARE = 4
/** What was counted is good for so long, milliseconds; for longer while less than half of the limit is in use. */
const COUNT_AGAIN_MS = 1000
const COUNT_SELDOM_MS = 30_000

export interface DescriptorsOptions {
  /** asked at each count: the limit of a running process may be changed */
  readonly limit?: () => number | undefined
  readonly count?: () => number | undefined
  /** monotonic milliseconds */
  readonly now?: () => number
}

/** How many sockets one door may have, at most so many. */
export const mostOfADoor = (most: number): number =>
  Math.min(most, Math.max(1, Math.floor((maxFiles() ?? Infinity) / DOOR_SHARE)))

export class Descriptors {
  private readonly options: Required<DescriptorsOptions>
  private most = 0
  private counted = 0
  private countedAt = -Infinity
  /** since then */
  private taken = 0
  /** in this turn of the event loop: their sockets are made at its end, and no count has them yet */
  private fresh = 0
  private inTurn = false
  private countedInTurn = false

  constructor({ count = openFiles, limit = maxFiles, now = () => performance.now() }: DescriptorsOptions = {}) {
    this.options = { count, limit, now }
  }

  /** As it was read last; Infinity where the platform does not tell a limit. */
  get limit(): number {
    return this.most
  }
  /** So many stay free. */
  get reserve(): number {
    return Math.min(RESERVE_MOST, Math.max(RESERVE_LEAST, Math.floor(this.most / RESERVE_SHARE)))
  }

  /** Whether one more may be opened now; with `take`, it will be. */
  hasRoom(take: boolean): boolean {
    this.look()
    if (this.free() <= this.reserve) return false
    if (take) {
      this.taken += 1
      this.fresh += 1
      this.turn()
    }
    return true
  }

  private free(): number {
    return this.most - this.counted - this.taken
  }

  /** Counting costs as many steps as there are, on some platforms: seldom while there is much room, each time near the end. */
  private look(): void {
    const { count, limit, now } = this.options
    const at = now()
    const good = this.free() > this.most / 2 ? COUNT_SELDOM_MS : COUNT_AGAIN_MS
    if (this.countedInTurn || (at - this.countedAt < good && this.taken < (this.free() - this.reserve) / 2)) return
    this.most = limit() ?? Infinity
    this.counted = count() ?? 0
    this.countedAt = at
    this.taken = this.fresh
    this.countedInTurn = true
    this.turn()
  }

  private turn(): void {
    if (this.inTurn) return
    this.inTurn = true
    setImmediate(() => {
      this.inTurn = false
      this.countedInTurn = false
      this.fresh = 0
    })
  }
}
