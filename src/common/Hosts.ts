/** Names and addresses of hosts, as they are written in settings, URLs and headers. */
import ipaddr from "ipaddr.js"

/** As it stands in a URL: an IPv6 address in brackets. */
export const bracketed = (host: string): string => (host.includes(":") && !host.startsWith("[") ? `[${host}]` : host)

/** Whether it is reached from this host alone: localhost, 127.0.0.0/8 and ::1, in each of their spellings. */
export const isLoopback = (host: string): boolean => {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, "$1")
  return name === "localhost" || (ipaddr.isValid(name) && ipaddr.process(name).range() === "loopback")
}
