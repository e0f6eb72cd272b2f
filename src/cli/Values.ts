/** How a person writes a value on the command line. Each reader answers the value, or says in a few words what it expects. */
import * as Either from "effect/Either"

type Read<A> = Either.Either<A, string>

const MILLIS_PER_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  milli: 1,
  millis: 1,
  millisecond: 1,
  milliseconds: 1,
  s: 1000,
  sec: 1000,
  second: 1000,
  seconds: 1000,
  m: 60_000,
  min: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000
}

/** `10 seconds`, `500 millis`, `10s`, `2m`: whole milliseconds, at least 1 and at most 2^32 - 1. */
export const duration = (text: string): Read<number> => {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim()) ?? []
  const factor = unit === undefined ? undefined : MILLIS_PER_UNIT[unit.toLowerCase()]
  if (factor === undefined) return Either.left("a duration is written as '10 seconds', '500 millis' or '10s'")
  const millis = Math.round(Number(amount) * factor)
  return millis >= 1 && millis <= 0xffff_ffff
    ? Either.right(millis)
    : Either.left("a duration is at least 1 millisecond and at most 49 days")
}

const SECONDS_PER: Readonly<Record<string, number>> = { s: 1, second: 1, minute: 60, hour: 3600 }

/** `200 per second`, `30 per minute`, or a plain number a second: how many a second, more than 0. */
export const rate = (text: string): Read<number> => {
  const [, amount, , unit = "second"] =
    /^(\d+(?:\.\d+)?)(\s*(?:per|\/)\s*(s|second|minute|hour))?$/i.exec(text.trim()) ?? []
  const perSecond = Number(amount) / SECONDS_PER[unit.toLowerCase()]!
  return perSecond > 0 ? Either.right(perSecond) : Either.left("a rate is written as '200 per second'")
}

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  byte: 1,
  bytes: 1,
  kb: 1000,
  kib: 1024,
  mb: 1_000_000,
  mib: 1024 * 1024
}

/** `200`, `4 KiB`, `1 MiB`: bytes. */
export const bytes = (text: string): Read<number> => {
  const [, amount, unit = ""] = /^(\d+)\s*([a-z]*)$/i.exec(text.trim()) ?? []
  const factor = BYTES_PER_UNIT[unit.toLowerCase()]
  return amount === undefined || factor === undefined
    ? Either.left("a size is written as '200', '4 KiB' or '1 MiB'")
    : Either.right(Number(amount) * factor)
}

/** A whole number from `min` to `max`. */
export const integer =
  (min: number, max: number) =>
  (text: string): Read<number> => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? Either.right(value) : Either.left(`a whole number from ${min} to ${max}`)
  }

/** `K=V`, cut at the first `=`; the value may be empty and may hold further `=`. */
export const keyValue = (text: string): Read<readonly [key: string, value: string]> => {
  const cut = text.indexOf("=")
  return cut < 1
    ? Either.left("a pair is written as KEY=VALUE")
    : Either.right([text.slice(0, cut), text.slice(cut + 1)])
}

/** One of the words given; answers what stands for it. */
export const choice =
  <A>(words: Readonly<Record<string, A>>) =>
  (text: string): Read<A> =>
    Object.hasOwn(words, text) ? Either.right(words[text]!) : Either.left(`one of ${Object.keys(words).join(", ")}`)

/** An address of a server: http or https, a host, nothing that could be a secret. The answer ends without `/`. */
export const serverUrl = (text: string): Read<string> => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url === undefined || (url.protocol !== "http:" && url.protocol !== "https:") || url.username !== ""
    ? Either.left("a server is written as http://host:port")
    : Either.right(url.href.replace(/\/+$/, ""))
}
