/** How a person writes a value on the command line. Each reader answers the value, or the rule that it does not keep. */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Kinds from "../config/Kinds.js"
import { parseUrl } from "../domain/Peer.js"

type Read<A> = Either.Either<A, string>

const ofKind =
  <A>(kind: Kinds.Kind<A>) =>
  (text: string): Read<A> => {
    const value = kind.parse(text)
    return value !== undefined && kind.holds(value) ? Either.right(value) : Either.left(`it must be ${kind.rule}`)
  }

const SHORT_UNITS: Readonly<Record<string, string>> = { ms: "millis", s: "seconds", m: "minutes", h: "hours" }
const long = ofKind(Kinds.duration("1 millis", "49 days"))

/** `10 seconds`, `500 millis` as in settings, and `10s`, `500ms`, `2m`, `1h`. Whole milliseconds, at least 1. */
export const duration = (text: string): Read<number> =>
  Either.map(
    long(text.trim().replace(/^(\d+(?:\.\d+)?)\s*(ms|s|m|h)$/, (_, n, unit) => `${n} ${SHORT_UNITS[unit]}`)),
    (value) => Math.ceil(Duration.toMillis(value))
  )

/** `200 per second`, or the number alone: a second. */
export const rate = ofKind(Kinds.rate)

/** `200`, `4 KiB`, `1 MiB`: bytes, at most `max`. */
export const size = (max: number) => ofKind(Kinds.size(0, max))

/** A whole number from `min` to `max`. */
export const integer = (min: number, max: number) => ofKind(Kinds.whole("a whole number", min, max))

/** `K=V`, cut at the first `=`; the value may be empty and may hold further `=`. */
export const keyValue = (text: string): Read<readonly [key: string, value: string]> => {
  const cut = text.indexOf("=")
  return cut < 1 ? Either.left("it must be KEY=VALUE") : Either.right([text.slice(0, cut), text.slice(cut + 1)])
}

/** One of the words given; answers what stands for it. */
export const choice =
  <A>(words: Readonly<Record<string, A>>) =>
  (text: string): Read<A> =>
    Object.hasOwn(words, text)
      ? Either.right(words[text]!)
      : Either.left(`it must be one of ${Object.keys(words).join(", ")}`)

/** The address of a manager: http or https and a host, no credentials. The answer ends without `/`. */
export const serverUrl = (text: string): Read<string> => {
  const url = parseUrl(text)
  return url === undefined || (url.protocol !== "http:" && url.protocol !== "https:") || url.username !== ""
    ? Either.left("it must be http://host:port")
    : Either.right(url.href.replace(/\/+$/, ""))
}
