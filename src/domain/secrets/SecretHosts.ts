/**
 * Where a secret may go: `NAME=target,target; …`.
 *
 * A target is `wss://host:port` or `ws://host:port`; without a scheme it is `wss`, without a port that of the scheme, and `:*` is
 * any port. The host is a name, `*.suffix` (what ends in `.suffix`), an address, or `*`; `*` alone is everywhere. The name `*`
 * stands for every secret that has no entry of its own. Once there is a list, what it does not name goes nowhere.
 */
import { isIPv6 } from "node:net"
import { parseUrl } from "../Peer.js"
import { normaliseHost } from "./HostName.js"
import { canonicalName, isSecretName, twins } from "./SecretName.js"

/** As it was written: name -> targets. */
export type SecretHosts = ReadonlyMap<string, ReadonlyArray<string>>

/** What a secret would be sent to. */
export interface SecretTarget {
  readonly scheme: "ws" | "wss"
  /** as `normaliseHost` makes it */
  readonly host: string
  readonly port: string
}

const ANY = "*"
const EVERYWHERE = { scheme: ANY, host: ANY, port: ANY } as const

interface Rule {
  readonly scheme: "ws" | "wss" | typeof ANY
  /** of `*.suffix`, with the leading dot */
  readonly host: string
  readonly port: string
}

/** A target, or why it is none. */
const ruleOf = (entry: string): Rule | string => {
  if (entry === ANY) return EVERYWHERE
  const [, scheme = "wss", rest = ""] = /^(?:(wss?):\/\/)?([^]*)$/i.exec(entry) ?? []
  const secure = scheme.toLowerCase() === "wss"
  if (/^[^/]+\/\d+$/.test(rest)) return `${entry} is a range, and a secret goes to hosts`
  const [, written = "", port = secure ? "443" : "80"] = isIPv6(rest)
    ? ["", `[${rest}]`]
    : (/^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}|\*))?$/.exec(rest) ?? [])
  const host = hostOf(written)
  if (host === undefined || (port !== ANY && !(Number(port) >= 1 && Number(port) <= 65_535))) {
    return `${entry} is no host, nor wss://host:port`
  }
  return { scheme: secure ? "wss" : "ws", host, port: port === ANY ? ANY : String(Number(port)) }
}

/** As a URL with this host would name it; undefined where it cannot be one. */
const hostOf = (written: string): string | undefined => {
  if (written === ANY) return ANY
  const suffix = written.startsWith("*.")
  const name = suffix ? written.slice(2) : written
  if (!/^(?:[\p{L}\p{N}_](?:[\p{L}\p{N}_.-]*[\p{L}\p{N}_.])?|\[[0-9a-fA-F:.]+\])$/u.test(name) || /\.\./.test(name)) {
    return undefined
  }
  const url = parseUrl(`ws://${name}`)
  if (url === undefined) return undefined
  const host = normaliseHost(url.hostname)
  return suffix ? `.${host}` : host
}

/** Why this is no such list; undefined: it is one. */
export const secretHostsFault = (entries: Iterable<readonly [name: string, targets: ReadonlyArray<string>]>) => {
  const names: Array<string> = []
  for (const [name, targets] of entries) {
    if (name !== ANY && !isSecretName(name)) return `'${name}' is no name of a secret`
    if (name !== ANY) names.push(name)
    if (targets.length === 0) return `${name} names no host`
    for (const target of targets) {
      const rule = ruleOf(target)
      if (typeof rule === "string") return rule
    }
  }
  const [twin] = twins(names)
  return twin === undefined ? undefined : `${twin[0]} and ${twin[1]} are one secret: name it once`
}

/** Why a secret may not go there; undefined: it may. */
export type RefuseSecret = (name: string, target: SecretTarget) => string | undefined

/** The rule that a checked list makes. Without a list secrets go everywhere, or, if `listed`, nowhere. */
export const refuseBy = (hosts: SecretHosts, listed: boolean): RefuseSecret => {
  const rulesOf = (targets: ReadonlyArray<string>) =>
    targets.map(ruleOf).filter((rule): rule is Rule => typeof rule !== "string")
  const byName = new Map<string, ReadonlyArray<Rule>>()
  for (const [name, targets] of hosts) if (name !== ANY) byName.set(canonicalName(name), rulesOf(targets))
  const others = hosts.get(ANY)
  const ofOthers = others === undefined ? undefined : rulesOf(others)
  const open = hosts.size === 0 && !listed
  return (name, target) => {
    if (open) return undefined
    const canonical = canonicalName(name)
    // Of NAME/KEY the whole may be listed, or the secret it is a part of.
    const own = byName.get(canonical) ?? byName.get(canonical.split("/", 1)[0]!) ?? ofOthers
    if (own === undefined) return "WSM_SECRET_HOSTS does not name it"
    return own.some((rule) => matches(rule, target)) ? undefined : "WSM_SECRET_HOSTS names other targets for it"
  }
}

const matches = (rule: Rule, { host, port, scheme }: SecretTarget): boolean =>
  (rule.scheme === ANY || rule.scheme === scheme) &&
  (rule.port === ANY || rule.port === port) &&
  (rule.host === ANY || (rule.host.startsWith(".") ? host.endsWith(rule.host) : host === rule.host))
