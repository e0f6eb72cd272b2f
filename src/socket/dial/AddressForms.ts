/**
 * What the form of an address tells. That is which IPv4 address an IPv6 one carries, where its packets end (as far as the
 * form, or the operator, tells), and its network.
 */
import ipaddr from "ipaddr.js"

export type Address = ipaddr.IPv4 | ipaddr.IPv6

/** A prefix of a NAT64 gateway, and its length in bits: 32, 40, 48, 56, 64 or 96. */
export type Nat64 = readonly [prefix: ipaddr.IPv6, bits: number]

export interface Carried {
  readonly addresses: ReadonlyArray<ipaddr.IPv4>
  /** the IPv6 address is a destination of its own, and is to be judged too */
  readonly outerToo: boolean
}

export const isMapped = (address: Address): boolean =>
  address.kind() === "ipv6" && (address as ipaddr.IPv6).isIPv4MappedAddress()

export const carriedIPv4 = (address: Address, nat64: ReadonlyArray<Nat64> = []): Carried => {
  if (address.kind() === "ipv4") return NO_FORMS
  const v6 = address as ipaddr.IPv6
  const named = nat64.find(([prefix, bits]) => v6.match(prefix, bits))
  if (named !== undefined) return only([embedded(v6.toByteArray(), named[1])])
  const { parts } = v6
  const bytes = v6.toByteArray()
  const at = (i: number) => new ipaddr.IPv4(bytes.slice(i, i + 4))
  const upTo = (n: number, ...prefix: ReadonlyArray<number>) =>
    parts.slice(0, n).every((part, i) => part === (prefix[i] ?? 0))
  if (upTo(6, 0, 0, 0, 0, 0, 0xffff)) return only([at(12)]) // mapped
  if (upTo(6, 0, 0, 0, 0, 0xffff, 0)) return only([at(12)]) // translated, RFC 2765
  if (upTo(6, 0) && (parts[6] !== 0 || parts[7]! > 1)) return only([at(12)]) // compatible; :: and ::1 are themselves
  if (upTo(6, 0x64, 0xff9b)) return only([at(12)]) // NAT64
  if (upTo(3, 0x64, 0xff9b, 1)) return only(localNat64(bytes))
  if (upTo(1, 0x2002)) return only([at(2)]) // 6to4
  if (upTo(2, 0x2001, 0)) return only([at(4), new ipaddr.IPv4(bytes.slice(12).map((b) => b ^ 0xff))]) // Teredo: server, client
  // ISATAP, RFC 5214: in any prefix, and a host of that prefix may have chosen this identifier.
  if ((parts[4]! & 0xfdff) === 0 && parts[5] === 0x5efe) return { addresses: [at(12)], outerToo: true }
  return NO_FORMS
}

const NO_FORMS: Carried = { addresses: [], outerToo: true }

const only = (addresses: ReadonlyArray<ipaddr.IPv4>): Carried => ({ addresses, outerToo: false })

/** RFC 6052: byte 8 is left out. */
const embedded = (bytes: ReadonlyArray<number>, bits: number): ipaddr.IPv4 =>
  new ipaddr.IPv4(bytes.filter((_byte, i) => i !== 8 || bits === 96).slice(...span(bits)))

const span = (bits: number): [number, number] => {
  const from = bits === 96 ? 12 : bits / 8
  return [from, from + 4]
}

/**
 * `64:ff9b:1::/48` is for prefixes of a site's own, of 48, 56, 64 or 96 bits. What follows the address is zero in what a
 * gateway makes, and ignored in what it gets. So every length counts up to the first one that has nothing after it.
 */
const localNat64 = (bytes: ReadonlyArray<number>): ReadonlyArray<ipaddr.IPv4> => {
  const readings: Array<ipaddr.IPv4> = []
  for (const bits of [48, 56, 64, 96]) {
    readings.push(embedded(bytes, bits))
    const end = bits === 96 ? 16 : bits / 8 + 5
    if (bytes.slice(end).every((byte) => byte === 0)) break
  }
  // Nothing can be sent to 0.0.0.0/8: such a reading has another length than the gateway's.
  const likely = readings.filter((address) => address.octets[0] !== 0)
  return likely.length > 0 ? likely : readings
}

/**
 * The network that is likely to belong to one party: a public IPv4 /24 or IPv6 /56. An address that is not public stands alone,
 * since its neighbours belong to others; one that carries an IPv4 address is of that one's network.
 */
export const networkOf = (text: string): string => {
  if (!ipaddr.isValid(text)) return text
  const address = ipaddr.parse(text)
  const carried = carriedIPv4(address)
  const meant = carried.outerToo ? address : carried.addresses.at(-1)!
  if (meant.range() !== "unicast") return meant.toString()
  return `${meant
    .toByteArray()
    .slice(0, meant.kind() === "ipv4" ? 3 : 7)
    .join(".")}/`
}
