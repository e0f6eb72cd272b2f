/**
 * Where sockets may go, judged on the address that is really dialled. Pure: names are resolved by the caller, once.
 *
 * Denied beats allowed, allowed beats `public`. An IPv6 form that carries an IPv4 address is judged by what it carries,
 * because that is where a gateway or the kernel would send it.
 */
import { isIP } from "node:net"
import ipaddr from "ipaddr.js"
import { normaliseHost } from "../domain/HostName.js"

export { normaliseHost }

type Address = ipaddr.IPv4 | ipaddr.IPv6

interface HostList {
  readonly names: ReadonlySet<string>
  /** of `*.suffix`, with the leading dot */
  readonly suffixes: ReadonlyArray<string>
  readonly ranges: ReadonlyArray<readonly [Address, number]>
}

export interface EgressPolicy {
  /** Why this target is refused before anything is resolved: a denied name, or a literal address. */
  readonly refuseHost: (host: string) => string | undefined
  /** Why this address, resolved from (or written as) that host, may not be dialled. */
  readonly refuseAddress: (host: string, address: string) => string | undefined
}

export const make = (options: {
  readonly egress: "public" | "any"
  readonly egressAllow: ReadonlyArray<string>
  readonly egressDeny: ReadonlyArray<string>
}): EgressPolicy => {
  const allow = hostList(options.egressAllow)
  const deny = hostList(options.egressDeny)

  const refuseAddress = (host: string, text: string): string | undefined => {
    const name = normaliseHost(host)
    if (hasName(deny, name)) return "denied by WSM_EGRESS_DENY"
    if (!ipaddr.isValid(text)) return "its address cannot be read"
    const address = ipaddr.parse(text)
    const carried = carriedIPv4(address)
    if ([address, ...carried].some((a) => hasAddress(deny, a))) return `${text} is denied by WSM_EGRESS_DENY`
    if (options.egress === "any" || hasName(allow, name)) return undefined
    // Only the mapped form is the IPv4 address itself; of the others an allowed part does not vouch for the gateway.
    const same = isMapped(address) ? carried : [address]
    if (same.some((a) => hasAddress(allow, a))) return undefined
    const inner = (carried.length === 0 ? [address] : carried).map(notPublic).find((why) => why !== undefined)
    return inner === undefined ? undefined : `${text} is ${inner}, and WSM_EGRESS is public`
  }

  return {
    refuseAddress,
    refuseHost: (host) => {
      const name = normaliseHost(host)
      if (isIP(name) !== 0) return refuseAddress(name, name)
      return hasName(deny, name) ? "denied by WSM_EGRESS_DENY" : undefined
    }
  }
}

const hostList = (entries: ReadonlyArray<string>): HostList => {
  const names = new Set<string>()
  const suffixes: Array<string> = []
  const ranges: Array<readonly [Address, number]> = []
  for (const raw of entries) {
    const entry = normaliseHost(raw.trim())
    if (entry.includes("/")) ranges.push(ipaddr.parseCIDR(entry))
    else if (isIP(entry) !== 0) {
      const address = ipaddr.parse(entry)
      ranges.push([address, address.kind() === "ipv4" ? 32 : 128])
    } else if (entry.startsWith("*.")) suffixes.push(entry.slice(1))
    else if (entry !== "") names.add(entry)
  }
  return { names, suffixes, ranges }
}

const hasName = (list: HostList, name: string): boolean =>
  list.names.has(name) || list.suffixes.some((suffix) => name.endsWith(suffix))

const hasAddress = (list: HostList, address: Address): boolean =>
  list.ranges.some(
    ([range, bits]) => range.kind() === address.kind() && (address as ipaddr.IPv6).match(range as ipaddr.IPv6, bits)
  )

const isMapped = (address: Address): boolean =>
  address.kind() === "ipv6" && (address as ipaddr.IPv6).isIPv4MappedAddress()

/** The IPv4 addresses inside an IPv6 one: where its packets end, as far as its form tells. */
const carriedIPv4 = (address: Address): ReadonlyArray<ipaddr.IPv4> => {
  if (address.kind() === "ipv4") return []
  const bytes = address.toByteArray()
  const parts = (address as ipaddr.IPv6).parts
  const at = (i: number) => new ipaddr.IPv4(bytes.slice(i, i + 4))
  const upTo = (n: number, ...prefix: ReadonlyArray<number>) =>
    parts.slice(0, n).every((part, i) => part === (prefix[i] ?? 0))
  if (upTo(6, 0, 0, 0, 0, 0, 0xffff)) return [at(12)] // mapped
  if (upTo(6, 0, 0, 0, 0, 0xffff, 0)) return [at(12)] // translated, RFC 2765
  if (upTo(6, 0) && (parts[6] !== 0 || parts[7]! > 1)) return [at(12)] // compatible; :: and ::1 are themselves
  if (upTo(6, 0x64, 0xff9b)) return [at(12)] // NAT64
  if (upTo(3, 0x64, 0xff9b, 1)) {
    // NAT64 with a local prefix: 96 bits of prefix, or 48 with byte 8 left out (RFC 6052)
    return [upTo(6, 0x64, 0xff9b, 1) ? at(12) : new ipaddr.IPv4([bytes[6]!, bytes[7]!, bytes[9]!, bytes[10]!])]
  }
  if (upTo(1, 0x2002)) return [at(2)] // 6to4
  if (upTo(2, 0x2001, 0)) return [at(4), new ipaddr.IPv4(bytes.slice(12).map((b) => b ^ 0xff))] // Teredo: server, client
  return []
}

const METADATA = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200"].map((a) =>
  ipaddr.parse(a).toNormalizedString()
)

const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR("2000::/3")
const DOCUMENTATION = ipaddr.IPv6.parseCIDR("3fff::/20") // RFC 9637

/** What an address is instead of public, in words; undefined when it is public. */
const notPublic = (address: Address): string | undefined => {
  if (METADATA.includes(address.toNormalizedString())) return "a cloud's metadata address"
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
