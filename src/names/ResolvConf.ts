/**
 * What resolv.conf says about names that are not written in full. That is the search list, and how many dots make a name
 * that is tried as it stands first. The name servers in it are read by c-ares itself.
 */

export interface Search {
  readonly domains: ReadonlyArray<string>
  readonly ndots: number
}

export const RESOLV_CONF_PATH = "/etc/resolv.conf"

const MAX_DOMAINS = 8
const MAX_NDOTS = 15

export const parseResolvConf = (text: string): Search => {
  let domains: ReadonlyArray<string> = []
  let ndots = 1
  for (const line of text.split("\n")) {
    const [word, ...values] = line.split(/[#;]/, 1)[0]!.trim().split(/\s+/)
    // The last one counts, whichever of the two it is.
    if (word === "search" || word === "domain") {
      domains = values.map((domain) => domain.toLowerCase().replace(/\.$/, "")).filter((domain) => domain !== "")
    }
    if (word !== "options") continue
    for (const option of values) {
      const [, number] = /^ndots:(\d+)$/.exec(option) ?? []
      if (number !== undefined) ndots = Math.min(MAX_NDOTS, Number(number))
    }
  }
  return { domains: domains.slice(0, MAX_DOMAINS), ndots }
}

/** The names to ask for, in order, as the system's own resolver would. `host` with a dot at its end is meant as it stands. */
export const candidates = (host: string, { domains, ndots }: Search): ReadonlyArray<string> => {
  if (host.endsWith(".")) return [host.slice(0, -1)]
  const searched = domains.map((domain) => `${host}.${domain}`).filter((name) => name.length <= 253)
  return host.split(".").length - 1 >= ndots ? [host, ...searched] : [...searched, host]
}
