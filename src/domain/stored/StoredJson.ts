/**
 * What all values in the state store share. They are JSON objects with a schema version `v`, and fields of newer versions
 * are kept as they are. An unknown `v` is refused, so that it is never overwritten.
 */
import * as Either from "effect/Either"
import { ArrayFormatter, type ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { StateStoreUnavailable } from "../Errors.js"
import { SCHEMA_VERSION } from "./Keys.js"

export type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const refuse = (key: string, what: string): StateStoreUnavailable =>
  new StateStoreUnavailable({ reason: `${key} ${what}` })

/** The object that stands under `key`; refused when it is no JSON object or has another `v`. */
export const parse = (key: string, text: string): Either.Either<Json, StateStoreUnavailable> => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return Either.left(refuse(key, "holds no JSON"))
  }
  if (!isObject(value)) return Either.left(refuse(key, "holds no JSON object"))
  if (value["v"] !== SCHEMA_VERSION) {
    const found = JSON.stringify(value["v"]) ?? "none"
    return Either.left(refuse(key, `has schema version ${found.slice(0, 32)}, this version reads ${SCHEMA_VERSION}`))
  }
  return Either.right(value)
}

/** Whether a newer version wrote it: what it says is unknown here, and it is never overwritten. */
export const isNewer = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) && typeof value["v"] === "number" && value["v"] > SCHEMA_VERSION
  } catch {
    return false
  }
}

/** Says that the value under `key` is another's: copied there, or written by hand. */
export const misplaced = (key: string): StateStoreUnavailable => refuse(key, "cannot be understood: its id is another")

/** Says that the value under `key` does not have the fields it should have: where, and not what stands there. */
export const unreadable = (key: string, error: ParseError): StateStoreUnavailable => {
  const path = ArrayFormatter.formatErrorSync(error)[0]?.path.map(String).join(".") ?? ""
  return refuse(key, `cannot be read${path === "" ? "" : `: ${path} is not what this version knows`}`)
}

/** Checks the fields of a parsed value. */
export const decoder = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknownEither(schema)
  return (key: string, json: Json): Either.Either<A, StateStoreUnavailable> =>
    Either.mapLeft(decode(json), (error) => unreadable(key, error))
}

/** The nonce of this value's writer; undefined where there is none. */
export const nonceOf = (text: string): string | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) && typeof value["nonce"] === "string" ? value["nonce"] : undefined
  } catch {
    return undefined
  }
}

/** What `all` has beyond `known`, at every depth. */
export const beyond = (all: Json, known: Json): Json => {
  const rest: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(all)) {
    const other = known[key]
    if (key === "v") continue
    if (other === undefined) rest[key] = value
    else if (isObject(value) && isObject(other)) {
      const inner = beyond(value, other)
      if (Object.keys(inner).length > 0) rest[key] = inner
    }
  }
  return rest
}

/** `known`, and what `rest` has beyond it, at every depth; undefined fields are left out. */
export const merged = (known: Json, rest: Json): Json => {
  const result: Record<string, unknown> = { ...rest }
  for (const [key, value] of Object.entries(known)) {
    if (value === undefined) continue
    const other = rest[key]
    result[key] = isObject(value) && isObject(other) ? merged(value, other) : value
  }
  return result
}

/** As the store keeps it: `v` first. */
export const encode = (known: Json, rest: Json): string => JSON.stringify({ v: SCHEMA_VERSION, ...merged(known, rest) })
