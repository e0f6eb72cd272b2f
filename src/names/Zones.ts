/**
 * Which names may be looked up now. At most two look-ups of one zone run at a time, so that a zone that does not answer
 * costs its own names alone. Names that were not answered last time have one of the two. So they do not hold up the other
 * names of a zone that many share. All zones that did not answer last time have a part of all places, so that many dead
 * ones do not add up.
 */

/** Look-ups of one zone at a time. */
export const PER_ZONE = 2
/** Of these, for names that were not answered last time. */
const PER_ZONE_DEAF = 1
/** Look-ups at a time; each has a socket of its own. */
export const IN_ALL = 256
/** Of these, for zones that did not answer last time. */
export const SILENT = 64
/** Silent zones, and names, that are remembered. */
const MAX_CACHED_NAMES = 4096

/**
 * The part of a name that is registered: its last two labels, three where the last two look like `co.uk`. A rule of thumb
 * that needs no list: where it is wrong, names that have nothing to do with each other wait for each other.
 */
export const zoneOf = (host: string): string => {
  const labels = host.replace(/\.$/, "").split(".")
  const [second = "", top = ""] = labels.slice(-2)
  return labels.slice(top.length === 2 && second.length <= 3 ? -3 : -2).join(".")
}

/** Says that a look-up is done, and whether its name servers said anything; undefined where that is not known. */
export type Leave = (answered?: boolean) => void

type Go = (leave: Leave) => void

/** Those of a zone that wait, each kind in the order in which they came, and those that run. */
interface Zone {
  readonly fresh: Map<Go, string>
  readonly deaf: Map<Go, string>
  busy: number
  busyDeaf: number
}

export class Zones {
  private readonly zones = new Map<string, Zone>()
  /** zones that did not answer last time, the longest known first; and names */
  private readonly silent = new Set<string>()
  private readonly deaf = new Set<string>()
  private running = 0
  private runningSilent = 0
  /** zones with a look-up that waits for one of all places, or for one of those of silent zones */
  private readonly forAny = new Set<string>()
  private readonly forSilent = new Set<string>()

  /** Calls `go` when there is a place, maybe at once. What it returns takes back a look-up that waits. */
  enter(zone: string, name: string, go: Go): () => void {
    const here = this.zones.get(zone) ?? { fresh: new Map(), deaf: new Map(), busy: 0, busyDeaf: 0 }
    this.zones.set(zone, here)
    ;(this.deaf.has(name) ? here.deaf : here.fresh).set(go, name)
    this.advance(zone)
    return () => this.takeBack(zone, go)
  }

  /** Whether this zone did not answer last time. */
  isSilent(zone: string): boolean {
    return this.silent.has(zone)
  }

  private advance(zone: string): void {
    for (;;) {
      const here = this.zones.get(zone)
      const next = here === undefined ? undefined : nextOf(here)
      if (here === undefined || next === undefined) return
      const silent = this.silent.has(zone)
      if (this.running >= IN_ALL) return void this.forAny.add(zone)
      if (silent && this.runningSilent >= SILENT) return void this.forSilent.add(zone)
      const [go, name] = next
      const deaf = here.deaf.delete(go)
      here.fresh.delete(go)
      here.busy++
      if (deaf) here.busyDeaf++
      this.running++
      if (silent) this.runningSilent++
      let left = false
      go((answered) => {
        if (left) return
        left = true
        if (deaf) here.busyDeaf--
        if (answered !== undefined) this.deaf.delete(name)
        if (answered === false) remember(this.deaf, name)
        this.leave(zone, here, silent, answered)
      })
    }
  }

  private leave(zone: string, here: Zone, silent: boolean, answered: boolean | undefined): void {
    this.running--
    if (silent) this.runningSilent--
    here.busy--
    if (answered !== undefined) this.silent.delete(zone)
    if (answered === false) remember(this.silent, zone)
    this.forget(zone, here)
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
    const here = this.zones.get(zone)
    if (here === undefined || !(here.fresh.delete(go) || here.deaf.delete(go))) return
    this.forget(zone, here)
  }

  /** No look-up of this zone waits or runs. */
  private forget(zone: string, { busy, deaf, fresh }: Zone): void {
    if (fresh.size + deaf.size > 0) return
    this.forAny.delete(zone)
    this.forSilent.delete(zone)
    if (busy === 0) this.zones.delete(zone)
  }
}

/** Whose turn it is in a zone, if there is a place. */
const nextOf = ({ busy, busyDeaf, deaf, fresh }: Zone): readonly [Go, string] | undefined => {
  if (busy >= PER_ZONE) return undefined
  for (const first of fresh) return first
  if (busyDeaf >= PER_ZONE_DEAF) return undefined
  for (const first of deaf) return first
  return undefined
}

const remember = (all: Set<string>, one: string): void => {
  all.add(one)
  if (all.size > MAX_CACHED_NAMES) for (const oldest of all) return void all.delete(oldest)
}
