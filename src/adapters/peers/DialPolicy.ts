/**
 * Where a peer may be dialled: its address comes from a record in the store. Never a cloud's metadata, link-local or multicast
 * addresses; and in clear text only within a host, where that is asked for.
 */
import { lookup as resolve, type LookupAddress } from "node:dns"
import { isIP, type LookupFunction } from "node:net"
import ipaddr from "ipaddr.js"
import { isPeerAddress } from "../../domain/Peer.js"

const METADATA: ReadonlySet<string> = new Set(["fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"])
const NEVER: ReadonlySet<string> = new Set(["linkLocal", "multicast", "broadcast"])

/** Represents an address that is not dialled. */
export class NotDialled extends Error {}

/** An IPv4 address inside an IPv6 one is where its packets go. */
const reached = (text: string): ipaddr.IPv4 | ipaddr.IPv6 => {
  const address = ipaddr.process(text)
  if (address.kind() === "ipv4") return address
  const range = address.range()
  const bytes = address.toByteArray()
  if (range === "rfc6052" || range === "rfc6145") return new ipaddr.IPv4(bytes.slice(12))
  return range === "6to4" ? new ipaddr.IPv4(bytes.slice(2, 6)) : address
}

/** Why this resolved address is not dialled; undefined: it may be. */
export const refuseAddress = (text: string, clear: boolean): string | undefined => {
  if (!ipaddr.isValid(text)) return `${text} is no address`
  const address = reached(text)
  const range = address.range()
  if (METADATA.has(address.toString())) return `${text} is a cloud's metadata address`
  if (NEVER.has(range)) return `${text} is a ${range} address`
  if (clear && range !== "loopback") {
    return "its address is http://, and between hosts links are https unless WSM_INSECURE=true"
  }
  return undefined
}

/** Why nothing is dialled there, before any name is looked up. */
export const refuseUrl = (address: string, secureOnly: boolean): string | undefined => {
  if (!isPeerAddress(address)) return "its address is no http or https URL"
  const { hostname, protocol } = new URL(address)
  const host = hostname.replace(/^\[(.*)\]$/, "$1")
  return isIP(host) === 0 ? undefined : refuseAddress(host, secureOnly && protocol === "http:")
}

/** Looks names up as Node does, and refuses one of whose addresses any may not be dialled. */
export const lookup =
  (clear: boolean): LookupFunction =>
  (name, options, callback) =>
    resolve(name, { ...options, all: true }, (error, found: ReadonlyArray<LookupAddress>) => {
      if (error !== null) return callback(error, "", 0)
      const why = found.map(({ address }) => refuseAddress(address, clear)).find((one) => one !== undefined)
      if (why !== undefined) return callback(new NotDialled(why), "", 0)
      if (options.all === true) return callback(null, [...found])
      callback(null, found[0]!.address, found[0]!.family)
    })
