/** The small checks that every validation is made of. Each answers with the checked value, or names the field and the rule. */
import { isUtf8 } from "node:buffer"
import * as Either from "effect/Either"
import { InvalidRequest } from "../Errors.js"

export type Checked<A> = Either.Either<A, InvalidRequest>

export const MAX_UINT32 = 2 ** 32 - 1
/** The largest message of any door, and the largest frame taken from a peer. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024

export const refuse = (field: string, reason: string): Either.Either<never, InvalidRequest> =>
  Either.left(new InvalidRequest({ field, reason }))

export const ok: Checked<void> = Either.void

/** Succeeds when `holds`. */
export const must = (holds: boolean, field: string, reason: string): Checked<void> =>
  holds ? ok : refuse(field, reason)

/** The first refusal of a list, in order. */
export const every = <A>(items: Iterable<A>, check: (item: A, index: number) => Checked<unknown>): Checked<void> => {
  let index = 0
  for (const item of items) {
    const checked = check(item, index++)
    if (Either.isLeft(checked)) return Either.left(checked.left)
  }
  return ok
}

/** A uint32 of the proto; absent and 0 stand for the default. */
export const uint32 = (field: string, value: number | undefined, absent: number): Checked<number> => {
  if (value === undefined || value === 0) return Either.right(absent)
  if (!Number.isInteger(value) || value < 0 || value > MAX_UINT32) {
    return refuse(field, `${value} is not a whole number from 0 to ${MAX_UINT32}`)
  }
  return Either.right(value)
}

/** Milliseconds within bounds. Absent and 0 stand for the default, which may lie outside the bounds. */
export const duration = (
  field: string,
  value: number | undefined,
  absent: number,
  { max, min = 1 }: { readonly max: number; readonly min?: number }
): Checked<number> =>
  Either.flatMap(uint32(field, value, absent), (ms) =>
    value === undefined || value === 0 || (ms >= min && ms <= max)
      ? Either.right(ms)
      : refuse(field, ms < min ? `${ms} ms is below ${min} ms` : `${ms} ms is above ${max} ms`)
  )

/** At most so many of something. */
export const atMost = (field: string, count: number, max: number, what: string): Checked<void> =>
  must(count <= max, field, `has ${count} ${what}, over ${max}`)

/** An enum of the proto, by name; absent is the default, a value the proto does not have is refused. */
export const enumeration = <A>(
  field: string,
  value: string | number | undefined,
  values: Readonly<Record<string, A>>,
  absent: A
): Checked<A> => {
  if (value === undefined) return Either.right(absent)
  if (!Object.hasOwn(values, value)) {
    return refuse(field, `${printable(String(value))} is none of ${Object.keys(values).join(", ")}`)
  }
  return Either.right(values[value]!)
}

const LONE_SURROGATE = /\p{Surrogate}/u
const CONTROL = /\p{Cc}/u

export const hasControl = (text: string): boolean => CONTROL.test(text)

/** Well-formed Unicode of at most `max` characters (code points). */
export const text = (field: string, value: string, max = Infinity): Checked<string> => {
  // a character takes two places at most
  if (value.length > 2 * max) return refuse(field, `has over ${max} characters`)
  if (LONE_SURROGATE.test(value)) return refuse(field, "is not well-formed Unicode")
  if (value.length > max && characters(value) > max) return refuse(field, `has over ${max} characters`)
  return Either.right(value)
}

/**
 * The name of a map's entry that a caller sets. `__proto__` is refused over every door: MessagePack decoders take it for
 * `__proto_`, so the name would silently be another one there.
 */
export const entryName = (field: string, name: string): Checked<void> =>
  must(name !== "__proto__" && name !== "__proto_", field, "is a name that not every door can carry")

const characters = (value: string): number => {
  let n = 0
  for (const _ of value) n++
  return n
}

/** Bytes that are a text frame. */
export const utf8 = (field: string, bytes: Uint8Array): Checked<Uint8Array> =>
  isUtf8(bytes) ? Either.right(bytes) : refuse(field, "is text, and not valid UTF-8")

/** A part of the request inside a field's name or a reason: short, and without control characters. */
export const printable = (value: string): string => {
  const clean = value.slice(0, 128).replace(/[\p{Cc}\p{Surrogate}]/gu, "\ufffd")
  return clean.length <= 64 ? clean : `${clean.slice(0, 63)}…`
}

/** A close code that an endpoint may send of its own accord. */
export const sendableCode = (field: string, code: number): Checked<void> =>
  must(
    Number.isInteger(code) && (code === 1000 || (code >= 3000 && code <= 4999)),
    field,
    `${code} is neither 1000 nor one of 3000 to 4999`
  )
