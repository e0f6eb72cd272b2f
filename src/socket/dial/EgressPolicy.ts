/**
 * Where sockets may go, judged on the address and port that are really dialled. Pure: names are resolved by the caller,
 * once.
 *
 * Denied beats allowed, allowed beats `public`; an entry with a port is about that port alone. An IPv6 form that carries an
 * IPv4 address is judged by what it carries: that is where a gateway or the kernel sends it.
 */
import { isIP } from "node:net"
import ipaddr from "ipaddr.js"
import { normaliseHost } from "../../domain/secrets/HostName.js"
import { type Address, carriedIPv4, isMapped, type Nat64 } from "./AddressForms.js"

export { normaliseHost }

/** Port 0 in an entry is every port. */
interface HostList {
  readonly names: ReadonlyMap<string, ReadonlyArray<number>>
  /** of `*.suffix`, with the leading dot */
  readonly suffixes: ReadonlyArray<readonly [suffix: string, port: number]>
  readonly ranges: ReadonlyArray<readonly [range: Address, bits: number, port: number]>
}

export interface EgressPolicy {
  /** Why this target is refused before anything is resolved: a denied name, or a literal address. */
  readonly refuseHost: (host: string, port: number) => string | undefined
  /** Why this address, resolved from (or written as) that host, may not be dialled at that port. */
  readonly refuseAddress: (host: string, address: string, port: number) => string | undefined
}

export const make = (options: {
  readonly egress: "public" | "any"
  readonly egressAllow: ReadonlyArray<string>
  readonly egressDeny: ReadonlyArray<string>
  /** prefixes of NAT64 gateways, as `2001:db8:64::/96` */
  readonly egressNat64: ReadonlyArray<string>
}): EgressPolicy => {
  const allow = hostList(options.egressAllow)
  const deny = hostList(options.egressDeny)
  const nat64 = options.egressNat64.map((prefix): Nat64 => ipaddr.IPv6.parseCIDR(prefix))

  const refuseAddress = (host: string, text: string, port: number): string | undefined => {
    const name = normaliseHost(host)
    if (hasName(deny, name, port)) return "denied by WSM_EGRESS_DENY"
    if (!ipaddr.isValid(text)) return "its address cannot be read"
    const address = ipaddr.parse(text)
    const { addresses: carried, outerToo } = carriedIPv4(address, nat64)
    if ([address, ...carried].some((a) => hasAddress(deny, a, port))) return `${text} is denied by WSM_EGRESS_DENY`
    if (options.egress === "any" || hasName(allow, name, port)) return undefined
    // Only the mapped form is the IPv4 address itself. In the other forms, an allowed IPv4 part does not vouch for the
    // gateway.
    const same = isMapped(address) ? carried : [address]
    if (same.some((a) => hasAddress(allow, a, port))) return undefined
    const judged = outerToo ? [address, ...carried] : carried
    const inner = judged.map(notPublic).find((why) => why !== undefined)
    return inner === undefined ? undefined : `${text} is ${inner}, and WSM_EGRESS is public`
  }

  return {
    refuseAddress,
    refuseHost: (host, port) => {
      const name = normaliseHost(host)
      if (isIP(name) !== 0) return refuseAddress(name, name, port)
      return hasName(deny, name, port) ? "denied by WSM_EGRESS_DENY" : undefined
    }
  }
}

/** `name:port`, `[address]:port`; the port is 0 where there is none, also after an IPv6 address without brackets. */
export const splitHostPort = (text: string): readonly [host: string, port: number] => {
  const [, host, port] = /^(\[.*\]|[^:]*):(\d{1,5})$/.exec(text.trim()) ?? []
  return host === undefined ? [normaliseHost(text.trim()), 0] : [normaliseHost(host), Number(port)]
}

const hostList = (entries: ReadonlyArray<string>): HostList => {
  const names = new Map<string, Array<number>>()
  const suffixes: Array<readonly [string, number]> = []
  const ranges: Array<readonly [Address, number, number]> = []
  for (const raw of entries) {
    const [entry, port] = splitHostPort(raw)
    if (entry.includes("/")) ranges.push([...ipaddr.parseCIDR(entry), port])
    else if (isIP(entry) !== 0) {
      const address = ipaddr.parse(entry)
      ranges.push([address, address.kind() === "ipv4" ? 32 : 128, port])
    } else if (entry.startsWith("*.")) suffixes.push([entry.slice(1), port])
    else if (entry !== "") {
      const ports = names.get(entry)
      if (ports === undefined) names.set(entry, [port])
      else ports.push(port)
    }
  }
  return { names, suffixes, ranges }
}

const isPort = (entry: number, port: number): boolean => entry === 0 || entry === port

const hasName = (list: HostList, name: string, port: number): boolean =>
  list.names.get(name)?.some((entry) => isPort(entry, port)) === true ||
  list.suffixes.some(([suffix, entry]) => name.endsWith(suffix) && isPort(entry, port))

const hasAddress = (list: HostList, address: Address, port: number): boolean =>
  list.ranges.some(
    ([range, bits, entry]) =>
      isPort(entry, port) &&
      range.kind() === address.kind() &&
      (address as ipaddr.IPv6).match(range as ipaddr.IPv6, bits)
  )

const METADATA = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"].map((a) =>
  ipaddr.parse(a).toNormalizedString()
)

const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR("2000::/3")
const DOCUMENTATION = ipaddr.IPv6.parseCIDR("3fff::/20") // RFC 9637

/** What an address is instead of public, in words; undefined when it is public. */
const notPublic = (address: Address): string | undefined => {
  if (METADATA.includes(address.toNormalizedString())) return "a cloud's metadata or platform address"
  const range = address.range()
  if (range !== "unicast") return WORDS[range] ?? "a reserved address"
  if (address.kind() === "ipv4") return undefined
  const v6 = address as ipaddr.IPv6
  return v6.match(GLOBAL_UNICAST) && !v6.match(DOCUMENTATION) ? undefined : "a reserved address"
}

const WORDS: Readonly<Record<string, string>> = {
  unspecified: "the unspecified address",
  broadcast: "the broadcast address",
  multicast: "a multicast address",
  linkLocal: "a link-local address",
  loopback: "a loopback address",
  carrierGradeNat: "a carrier-grade NAT address",
  private: "a private address",
  uniqueLocal: "a unique local address"
}
