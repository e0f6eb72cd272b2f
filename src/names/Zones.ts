/**
 * Whose turn it is to be asked for: at most two look-ups of one zone at a time, so that a zone that does not answer costs its
 * own names alone. All zones that did not answer last time share a part of all places, so that many dead ones do not add up.
 */

/** Look-ups of one zone at a time. */
export const PER_ZONE = 2
/** Look-ups at a time; each has a socket of its own. */
export const IN_ALL = 256
/** Of these, for zones that did not answer last time. */
export const SILENT = 64
/** Silent zones that are remembered. */
const REMEMBERED = 4096

/**
 * The part of a name that somebody registers: its last two labels, three where the last two look like `co.uk`. A rule of thumb
 * that needs no list: where it is wrong, names that have nothing to do with each other wait for each other.
 */
export const zoneOf = (host: string): string => {
  const labels = host.replace(/\.$/, "").split(".")
  const [second = "", top = ""] = labels.slice(-2)
  return labels.slice(top.length === 2 && second.length <= 3 ? -3 : -2).join(".")
}

/** Says that a look-up is done, and whether its name servers said anything; nothing where nobody knows. */
export type Leave = (answered?: boolean) => void

type Go = (leave: Leave) => void

export class Zones {
  /** look-ups that run, by zone */
  private readonly busy = new Map<string, number>()
  /** those that wait, by zone, in the order in which they came */
  private readonly queues = new Map<string, Set<Go>>()
  /** zones that did not answer last time, the longest known first */
  private readonly silent = new Set<string>()
  private running = 0
  private runningSilent = 0
  /** zones that have somebody waiting for one of all places, or for one of those of silent zones */
  private readonly forAny = new Set<string>()
  private readonly forSilent = new Set<string>()

  /** Calls `go` when there is a place, maybe at once. What it returns takes back a look-up that waits. */
  enter(zone: string, go: Go): () => void {
    const queue = this.queues.get(zone) ?? new Set<Go>()
    queue.add(go)
    this.queues.set(zone, queue)
    this.advance(zone)
    return () => this.takeBack(zone, go)
  }

  /** Whether this zone did not answer last time. */
  isSilent(zone: string): boolean {
    return this.silent.has(zone)
  }

  private advance(zone: string): void {
    for (const go of this.queues.get(zone) ?? []) {
      const busy = this.busy.get(zone) ?? 0
      if (busy >= PER_ZONE) return
      const silent = this.silent.has(zone)
      if (this.running >= IN_ALL) return void this.forAny.add(zone)
      if (silent && this.runningSilent >= SILENT) return void this.forSilent.add(zone)
      this.takeBack(zone, go)
      this.busy.set(zone, busy + 1)
      this.running++
      if (silent) this.runningSilent++
      let left = false
      go((answered) => {
        if (left) return
        left = true
        this.leave(zone, silent, answered)
      })
    }
  }

  private leave(zone: string, silent: boolean, answered: boolean | undefined): void {
    this.running--
    if (silent) this.runningSilent--
    const busy = this.busy.get(zone)! - 1
    if (busy === 0) this.busy.delete(zone)
    else this.busy.set(zone, busy)
    if (answered !== undefined) this.silent.delete(zone)
    if (answered === false) this.remember(zone)
    this.advance(zone)
    this.advanceFirst(this.forAny, () => this.running < IN_ALL)
    this.advanceFirst(this.forSilent, () => this.running < IN_ALL && this.runningSilent < SILENT)
  }

  private advanceFirst(zones: Set<string>, hasRoom: () => boolean): void {
    for (const zone of zones) {
      if (!hasRoom()) return
      zones.delete(zone)
      this.advance(zone)
    }
  }

  private takeBack(zone: string, go: Go): void {
    const queue = this.queues.get(zone)
    if (queue?.delete(go) && queue.size === 0) {
      this.queues.delete(zone)
      this.forAny.delete(zone)
      this.forSilent.delete(zone)
    }
  }

  private remember(zone: string): void {
    this.silent.add(zone)
    if (this.silent.size > REMEMBERED) for (const oldest of this.silent) return void this.silent.delete(oldest)
  }
}
