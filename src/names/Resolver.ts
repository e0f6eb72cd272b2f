/**
 * From a host name to its addresses: hosts file, then name servers.
 *
 * Dials of one name share one look-up; when the last of them no longer waits, it is cancelled. What was found is kept for
 * its time to live, within bounds. What was not found is kept for seconds, so that a name that is away is not asked for at
 * each dial.
 */
import type { LookupAddress } from "node:dns"
import { isIP } from "node:net"
import { attempt, type Guarded } from "../common/CallbackGuard.js"
import { HOSTS_PATH, parseHosts } from "./HostsFile.js"
import { type Answer, type Ask, askServers, askSystem, type NoAnswer } from "./Question.js"
import { candidates, parseResolvConf, RESOLV_CONF_PATH } from "./ResolvConf.js"
import { WatchedFile } from "./WatchedFile.js"
import { zoneOf, Zones } from "./Zones.js"

export type Addresses = ReadonlyArray<LookupAddress>

/** Told once, maybe before `resolve` is back: the addresses, in the order in which to try them, or why there are none. */
export type Resolved = (reason: string | undefined, addresses: Addresses) => void

export interface ResolverOptions {
  /** `system`: the system's own resolver; none: the name servers of the system */
  readonly servers?: ReadonlyArray<string>
  readonly hostsPath?: string
  readonly resolvConfPath?: string
  /** the longest that a name may take; default five seconds */
  readonly withinMs?: number
  /** milliseconds of a clock that is never set */
  readonly now?: () => number
}

/** For how long an answer is kept, milliseconds, whatever its name server says. */
const LEAST_MS = 1000
const MOST_MS = 300_000
/** How long a name that was not found is not asked for again. */
const NOT_FOUND_MS = 5000
/** Names that are kept. */
const KEPT = 4096

interface Kept {
  readonly answer: Answer | NoAnswer
  readonly since: number
  readonly until: number
  turn: number
}

interface LookUp {
  readonly waiting: Set<Resolved>
  cancel: () => void
}

export class Resolver {
  private readonly hosts: WatchedFile<ReturnType<typeof parseHosts>>
  private readonly search: WatchedFile<ReturnType<typeof parseResolvConf>>
  private readonly ask: Ask
  private readonly now: () => number
  private readonly zones = new Zones()
  private readonly kept = new Map<string, Kept>()
  private readonly lookUps = new Map<string, LookUp>()

  constructor(options: ResolverOptions = {}) {
    const { hostsPath = HOSTS_PATH, now = () => performance.now(), resolvConfPath = RESOLV_CONF_PATH } = options
    const { servers = [], withinMs } = options
    this.hosts = new WatchedFile(hostsPath, parseHosts)
    this.search = new WatchedFile(resolvConfPath, parseResolvConf)
    this.ask = servers[0] === SYSTEM ? askSystem : askServers(servers, withinMs)
    this.now = now
  }

  /** The caller calls the returned function when it no longer waits. */
  resolve(host: string, done: Resolved): () => void {
    const name = host.toLowerCase()
    const known = this.withoutAsking(name)
    if (known !== undefined) {
      if ("reason" in known) done(known.reason, [])
      else done(undefined, known.addresses)
      return () => {}
    }
    const lookUp = this.lookUps.get(name) ?? this.begin(name)
    lookUp.waiting.add(done)
    return () => {
      if (lookUp.waiting.delete(done) && lookUp.waiting.size === 0) this.abandon(name, lookUp)
    }
  }

  /** No address of this name could be reached: it is asked for anew next time, unless it just was. */
  unreachable(host: string): void {
    const kept = this.kept.get(host.toLowerCase())
    if (kept !== undefined && this.now() - kept.since > NOT_FOUND_MS) this.kept.delete(host.toLowerCase())
  }

  /** Look-ups under way, and names that are kept. */
  get size(): { readonly asked: number; readonly kept: number } {
    return { asked: this.lookUps.size, kept: this.kept.size }
  }

  private withoutAsking(name: string): { readonly addresses: Addresses } | { readonly reason: string } | undefined {
    const bare = name.replace(/\.$/, "")
    const family = isIP(bare)
    if (family !== 0) return { addresses: [{ address: bare, family }] }
    const listed = this.hosts.get().get(bare) ?? []
    // RFC 6761: always loopback, and never asked for.
    if (endsIn(bare, "localhost")) {
      const own = listed.filter(({ address }) => address.startsWith("127.") || address === "::1")
      return { addresses: own.length > 0 ? own : LOOPBACK }
    }
    if (listed.length > 0) return { addresses: listed }
    if (endsIn(bare, "invalid") || endsIn(bare, "onion")) return { reason: `${bare} does not exist` }
    if (!isName(bare)) return { reason: "the host is no name that a name server can be asked for" }
    const kept = this.kept.get(name)
    if (kept === undefined) return undefined
    if (this.now() >= kept.until) {
      this.kept.delete(name)
      return undefined
    }
    return "reason" in kept.answer ? kept.answer : { addresses: inTurn(kept.answer.addresses, kept.turn++) }
  }

  private begin(name: string): LookUp {
    // computed before anything is kept of the name: what this may throw then ends the one dial alone
    const names = candidates(name, this.search.get())
    const lookUp: LookUp = { waiting: new Set(), cancel: () => {} }
    this.lookUps.set(name, lookUp)
    let asked = false
    const takeBack = this.zones.enter(zoneOf(name), name, (leave) => {
      asked = true
      lookUp.cancel = this.ask(names, (answer) => this.end(name, lookUp, answer), leave)
    })
    if (!asked) lookUp.cancel = takeBack
    return lookUp
  }

  private end(name: string, lookUp: LookUp, answer: Answer | NoAnswer): void {
    this.lookUps.delete(name)
    const kept = this.keep(name, answer)
    for (const done of lookUp.waiting) {
      attempt(ITSELF, () => {
        if ("reason" in answer) done(answer.reason, [])
        else done(undefined, inTurn(answer.addresses, kept.turn++))
      })
    }
  }

  private abandon(name: string, lookUp: LookUp): void {
    if (this.lookUps.get(name) !== lookUp) return
    this.lookUps.delete(name)
    lookUp.cancel()
  }

  private keep(name: string, answer: Answer | NoAnswer): Kept {
    const since = this.now()
    const millis = "reason" in answer ? NOT_FOUND_MS : Math.min(MOST_MS, Math.max(LEAST_MS, answer.ttl * 1000))
    const kept: Kept = { answer, since, until: since + millis, turn: 0 }
    this.kept.delete(name)
    this.kept.set(name, kept)
    if (this.kept.size > KEPT) {
      const [oldest] = this.kept.keys()
      this.kept.delete(oldest!)
    }
    return kept
  }
}

/** Each dial guards what it does with an answer; the others of that name are told whatever one throws. */
const ITSELF: Guarded = { faulted: () => {} }

/** The value of the setting that stands for the system's own resolver. */
export const SYSTEM = "system"

const LOOPBACK: Addresses = [
  { address: "127.0.0.1", family: 4 },
  { address: "::1", family: 6 }
]

const endsIn = (name: string, top: string): boolean => name === top || name.endsWith(`.${top}`)

const isName = (name: string): boolean =>
  name.length <= 253 && name.split(".").every((label) => label.length > 0 && label.length <= 63)

/** IPv6 and IPv4 by turns (RFC 8305), each family beginning with another of its addresses each time. */
const inTurn = (addresses: Addresses, turn: number): Addresses => {
  const [six = [], four = []] = [6, 4].map((family) => {
    const all = addresses.filter((one) => one.family === family)
    const first = all.length === 0 ? 0 : turn % all.length
    return [...all.slice(first), ...all.slice(0, first)]
  })
  return Array.from({ length: Math.max(six.length, four.length) }, (_, i) =>
    [six[i], four[i]].filter((one) => one !== undefined)
  ).flat()
}
