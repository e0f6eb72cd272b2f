/** What the hosts file says: names in lower case, each with its addresses in the order of the file. */
import { isIP } from "node:net"
import type { LookupAddress } from "node:dns"

export type Hosts = ReadonlyMap<string, ReadonlyArray<LookupAddress>>

export const HOSTS_PATH = process.platform === "win32" ? "C:\\Windows\\System32\\drivers\\etc\\hosts" : "/etc/hosts"

export const parseHosts = (text: string): Hosts => {
  const hosts = new Map<string, Array<LookupAddress>>()
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.split("#", 1)[0]!.trim().split(/\s+/)
    const family = isIP(address)
    if (family === 0) continue
    for (const name of names) {
      const key = name.toLowerCase().replace(/\.$/, "")
      const known = hosts.get(key)
      if (known === undefined) hosts.set(key, [{ address, family }])
      else if (!known.some((one) => one.address === address)) known.push({ address, family })
    }
  }
  return hosts
}
