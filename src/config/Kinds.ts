/** What the values of settings may be, and how they are written: one kind for each sort of value. */
import { isIP } from "node:net"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { PEER } from "../domain/Limits.js"
import { isPeerAddress, parseUrl } from "../domain/Peer.js"
import { type SecretHosts, secretHostsFault } from "../domain/secrets/SecretHosts.js"

export interface Kind<A> {
  /** what a value must be, as the end of "must be …" */
  readonly rule: string
  /** undefined: the text is not of this kind */
  readonly parse: (text: string) => A | undefined
  /** whether a value, however it was given, keeps the rule */
  readonly holds: (value: A) => boolean
  /** the value as an operator writes it; a secret is never shown */
  readonly show: (value: A) => string
  /** a value that is never shown: it has no flag, and may be given as a file */
  readonly secret?: true
  /** what exactly is wrong with a text that does not parse */
  readonly fault?: (text: string) => string | undefined
}

const kind = <A>(
  rule: string,
  parse: (text: string) => A | undefined,
  holds: (value: A) => boolean,
  show: (value: A) => string
): Kind<A> => ({ rule, parse, holds, show })

export const oneOf = <const A extends string>(...values: ReadonlyArray<A>): Kind<A> =>
  kind<A>(
    `${values.slice(0, -1).join(", ")} or ${values.at(-1)!}`,
    (text) => values.find((value) => value === text),
    (value) => values.includes(value),
    String
  )

export const flag: Kind<boolean> = kind<boolean>(
  "true or false",
  (text) => ({ true: true, "1": true, false: false, "0": false })[text.toLowerCase()],
  (value) => typeof value === "boolean",
  String
)

export const text = (rule: string, pattern: RegExp): Kind<string> =>
  kind<string>(
    rule,
    (value) => value,
    (value) => typeof value === "string" && pattern.test(value),
    String
  )

export const whole = (rule: string, min: number, max: number): Kind<number> =>
  kind<number>(
    `${rule} from ${min} to ${max}`,
    (value) => (/^\d+$/.test(value) ? Number(value) : undefined),
    (value) => Number.isInteger(value) && value >= min && value <= max,
    String
  )

const DURATION = /^\d+(?:\.\d+)? (?:nano|micro|milli|second|minute|hour|day|week)s?$/

/** Durations as `10 seconds`, `500 millis`. */
export const duration = (min: Duration.DurationInput, max: Duration.DurationInput): Kind<Duration.Duration> =>
  kind<Duration.Duration>(
    `a duration from ${showDuration(Duration.decode(min))} to ${showDuration(Duration.decode(max))}, as 10 seconds or 500 millis`,
    (value) => (DURATION.test(value) ? Option.getOrUndefined(Duration.decodeUnknown(value)) : undefined),
    (value) => Duration.isDuration(value) && Duration.between(value, { minimum: min, maximum: max }),
    showDuration
  )

export const showDuration = (value: Duration.Duration): string => {
  if (!Duration.isDuration(value)) return String(value)
  const millis = Duration.toMillis(value)
  for (const [unit, size] of [
    ["hour", 3_600_000],
    ["minute", 60_000],
    ["second", 1000]
  ] as const) {
    // prettier-ignore
    if (millis >= size && millis % size === 0) return `${millis / size} ${unit}${millis === size ? "" : "s"}`
  }
  return `${millis} millis`
}

export const MAX_RATE = 1_000_000

/** Rates as `200 per second`; the number alone is the same. */
export const rate: Kind<number> = kind<number>(
  "a rate above 0, as 200 per second",
  (value) => {
    const [, number] = /^(\d+(?:\.\d+)?)(?:\s+per\s+second)?$/.exec(value.trim()) ?? []
    return number === undefined ? undefined : Number(number)
  },
  (value) => Number.isFinite(value) && value > 0 && value <= MAX_RATE,
  (value) => `${value} per second`
)

const UNITS: Readonly<Record<string, number>> = { "": 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** Sizes as `512 MiB`, or plain bytes. */
export const size = (min: number, max: number): Kind<number> =>
  kind<number>(
    `a size from ${showSize(min)} to ${showSize(max)}, as 512 MiB or a number of bytes`,
    (value) => {
      const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB)?$/.exec(value.trim()) ?? []
      return number === undefined ? undefined : Number(number) * UNITS[unit]!
    },
    (value) => Number.isInteger(value) && value >= min && value <= max,
    showSize
  )

const showSize = (bytes: number): string => {
  for (const unit of ["GiB", "MiB", "KiB"]) {
    const whole = bytes / UNITS[unit]!
    if (whole >= 1 && Number.isInteger(whole)) return `${whole} ${unit}`
  }
  return String(bytes)
}

/** A value that is never shown. What travels in a header is visible ASCII. */
export const secret: Kind<Redacted.Redacted<string>> = {
  ...kind<Redacted.Redacted<string>>(
    "one or more visible ASCII characters without spaces",
    Redacted.make,
    (value) => Redacted.isRedacted(value) && /^[\u0021-\u007e]+$/.test(Redacted.value(value)),
    () => "***"
  ),
  secret: true
}

/** A secret of this length is not guessed. */
const LONG_ENOUGH = 16

/** One secret, or two for as long as it is being changed; never shown. */
export const changingSecret: Kind<Redacted.Redacted<string>> = {
  ...secret,
  rule: `one secret, or two separated by a comma, of at least ${LONG_ENOUGH} visible ASCII characters each`,
  holds: (value) => {
    if (!secret.holds(value)) return false
    const parts = Redacted.value(value).split(",")
    return parts.length <= 2 && parts.every(({ length }) => length >= LONG_ENOUGH)
  }
}

const HOST_NAME =
  /^(?:\*\.)?[\p{L}\p{N}_](?:[\p{L}\p{N}_-]*[\p{L}\p{N}_])?(?:\.[\p{L}\p{N}_](?:[\p{L}\p{N}_-]*[\p{L}\p{N}_])?)*\.?$/u

const isHost = (entry: string): boolean => isIP(entry.replace(/^\[(.*)\]$/, "$1")) !== 0 || HOST_NAME.test(entry)

const isOneHost = (value: string): boolean => !value.startsWith("*.") && isHost(value)

/** Where to listen: an IPv6 address may name its interface. */
export const host: Kind<string> = kind<string>(
  "a host name or an address, without scheme, port or path",
  (value) => value.trim(),
  (value) => typeof value === "string" && isOneHost(value),
  String
)

/** A server's host: what can be the host of a URL. */
export const askedHost: Kind<string> = {
  ...host,
  holds: (value) => host.holds(value) && parseUrl(`http://${isIP(value) === 6 ? `[${value}]` : value}`) !== undefined
}

const isRange = (entry: string): boolean => {
  const [address = "", bits = "", ...rest] = entry.split("/")
  const family = isIP(address)
  return family !== 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
}

const list = (rule: string, holds: (entry: string) => boolean): Kind<ReadonlyArray<string>> =>
  kind<ReadonlyArray<string>>(
    rule,
    (value) => split(value, ","),
    (value) => Array.isArray(value) && value.every(holds),
    (value) => (Array.isArray(value) ? value.join(", ") : String(value))
  )

/** Without its port, which stands behind a colon; an IPv6 address that has one is in brackets. Undefined: a bad port. */
const withoutPort = (entry: string): string | undefined => {
  const [, host, port] = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry) ?? []
  if (host === undefined) return entry
  return Number(port) >= 1 && Number(port) <= 65_535 ? host : undefined
}

/** Lists of hosts (`name`, `*.suffix`, an address) and CIDRs, each maybe with a port, separated by commas. */
export const hosts: Kind<ReadonlyArray<string>> = list(
  "a list of hosts and CIDRs, as feed.example.com, *.example.org:443, 10.0.0.0/8, [::1]:9000",
  (entry) => {
    const host = withoutPort(entry)
    if (host === undefined) return false
    return host.includes("/") ? isRange(host.replace(/^\[(.*)\]$/, "$1")) : isHost(host)
  }
)

/** Prefixes of NAT64 gateways, RFC 6052. */
export const nat64: Kind<ReadonlyArray<string>> = list(
  "a list of IPv6 prefixes of 32, 40, 48, 56, 64 or 96 bits, as 2001:db8:64::/96",
  (entry) => isRange(entry) && entry.includes(":") && [32, 40, 48, 56, 64, 96].includes(Number(entry.split("/")[1]))
)

/** Name servers to ask: addresses, each maybe with a port; or the system's own resolver. */
export const nameServers: Kind<ReadonlyArray<string>> = (() => {
  const addresses = list(
    "a list of addresses, as 10.0.0.53, [fd00::53]:5353, or the word system",
    (entry) => isIP((withoutPort(entry) ?? "").replace(/^\[(.*)\]$/, "$1")) !== 0
  )
  return { ...addresses, holds: (value) => (value.length === 1 && value[0] === "system") || addresses.holds(value) }
})()

const split = (value: string, separator: string): ReadonlyArray<string> =>
  value
    .split(separator)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "")

/** Patterns of topics, separated by commas. */
export const topics: Kind<ReadonlyArray<string>> = kind<ReadonlyArray<string>>(
  "a list of topics of at most 256 characters each, as prices, prices.*",
  (value) => split(value, ","),
  (value) => Array.isArray(value) && value.every((entry) => /^[^\p{Cc},]{1,256}$/u.test(entry)),
  (value) => (Array.isArray(value) ? value.join(", ") : String(value))
)

/** Which targets a secret may go to: `NAME=target[,target]; …`; each secret keeps the spelling it was given. */
export const secretHosts: Kind<SecretHosts> = {
  ...kind<SecretHosts>(
    "a list of secrets and where each may go, as NAME=wss://host:port,host; NAME=*",
    (value) => {
      const entries = secretEntries(value)
      return secretHostsFault(entries) === undefined ? new Map(entries) : undefined
    },
    (value) => value instanceof Map && secretHostsFault(value) === undefined,
    (value) => (value instanceof Map ? [...value] : []).map(([name, list]) => `${name}=${list.join(",")}`).join("; ")
  ),
  fault: (value) => secretHostsFault(secretEntries(value))
}

const secretEntries = (value: string): ReadonlyArray<readonly [name: string, targets: ReadonlyArray<string>]> =>
  split(value, ";").map((entry) => {
    const [name = "", ...rest] = entry.split("=")
    return [name.trim(), split(rest.join("="), ",")]
  })

const isHttpUrl = (value: string): boolean => parseUrl(value) !== undefined && /^https?:\/\/[^/?#]/i.test(value)

/** Where peers dial this instance, or empty. */
export const peerAddress = (show: (url: string) => string): Kind<string> =>
  kind<string>(
    `an http or https URL of at most ${PEER.ADDRESS_CHARS} characters, without user, query or fragment`,
    (value) => value.trim(),
    (value) => value === "" || (typeof value === "string" && isPeerAddress(value)),
    show
  )

/** An http or https URL, or empty. */
export const httpUrl = (show: (url: string) => string): Kind<string> =>
  kind<string>(
    "an http or https URL",
    (value) => value.trim(),
    (value) => value === "" || isHttpUrl(value),
    show
  )
