/**
 * Between protobuf messages and the messages of the RPC group, driven by the descriptor alone. In the latter, fields are in
 * camelCase, enums are named as in the proto, 64-bit counters are numbers, and timestamps are a `Date`. Each member of a
 * oneof is an optional field of its own. What has presence and is unset is absent. Bytes and maps of plain values are
 * passed on as they are, never copied.
 */
import { create, type DescEnum, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf"
import { type Timestamp, timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt"
import { InvalidRequest } from "../../domain/Errors.js"

type Fields = Record<string, unknown>

/** Both directions for one value of a field. `path` names it in an error, as in `buffer.overflow`. */
interface ValueCodec {
  readonly toRpc: (value: unknown, path: string) => unknown
  readonly toProto: (value: unknown) => unknown
}

/** Both directions for one message. */
export interface MessageCodec {
  /** Throws `InvalidRequest`, naming the field, for an enum number that the proto does not have. */
  readonly toRpc: (message: Message) => unknown
  readonly toMessage: (value: unknown) => Message
}

/** Compiles the codec of a message and of all it holds: once for each method, not for each call. */
export const codecOf = (desc: DescMessage): MessageCodec => {
  const fields = fieldsCodec(desc, new Map())
  return {
    toRpc: (message) => fields.toRpc(message, ""),
    toMessage: (value) => create(desc, fields.toProto(value) as Fields)
  }
}

const same: ValueCodec = { toRpc: (value) => value, toProto: (value) => value }

const LONGS: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64
])
const long: ValueCodec = { toRpc: (value) => Number(value), toProto: (value) => BigInt(value as number) }
const scalarCodec = (scalar: ScalarType): ValueCodec => (LONGS.has(scalar) ? long : same)

const timestamp: ValueCodec = {
  toRpc: (value) => timestampDate(value as Timestamp),
  toProto: (value) => timestampFromMs((value as Date).getTime())
}

const enumCodec = (desc: DescEnum): ValueCodec => {
  const names = new Map(desc.values.map((value) => [value.number, value.name]))
  const numbers = new Map(desc.values.map((value) => [value.name, value.number]))
  return {
    toRpc: (value, path) => {
      const name = names.get(value as number)
      if (name === undefined) {
        throw new InvalidRequest({ field: path, reason: `${String(value)} is not a value of ${desc.name}` })
      }
      return name
    },
    toProto: (value) => {
      const number = numbers.get(value as string)
      if (number === undefined) throw new Error(`${String(value)} is not a value of ${desc.typeName}`)
      return number
    }
  }
}

/** A message inside a message; `known` ends the recursion of types that hold themselves. */
const messageCodec = (desc: DescMessage, known: Map<string, ValueCodec>): ValueCodec =>
  desc.typeName === "google.protobuf.Timestamp" ? timestamp : fieldsCodec(desc, known)

const singular = (
  field: Pick<DescField, "scalar" | "enum" | "message">,
  known: Map<string, ValueCodec>
): ValueCodec => {
  if (field.message !== undefined) return messageCodec(field.message, known)
  if (field.enum !== undefined) return enumCodec(field.enum)
  return scalarCodec(field.scalar as ScalarType)
}

const listOf = (item: ValueCodec): ValueCodec =>
  item === same
    ? same
    : {
        toRpc: (list, path) => (list as ReadonlyArray<unknown>).map((v, i) => item.toRpc(v, `${path}[${i}]`)),
        toProto: (list) => (list as ReadonlyArray<unknown>).map(item.toProto)
      }

const mapOf = (item: ValueCodec): ValueCodec => {
  if (item === same) return same
  const mapped = (map: unknown, convert: (value: unknown, key: string) => unknown) =>
    Object.fromEntries(Object.entries(map as Fields).map(([key, value]) => [key, convert(value, key)]))
  return {
    toRpc: (map, path) => mapped(map, (value, key) => item.toRpc(value, `${path}.${key}`)),
    toProto: (map) => mapped(map, item.toProto)
  }
}

const fieldCodec = (field: DescField, known: Map<string, ValueCodec>): ValueCodec => {
  if (field.fieldKind === "list") return listOf(singular(field, known))
  if (field.fieldKind === "map") return mapOf(singular(field, known))
  return singular(field, known)
}

interface FieldPlan {
  readonly name: string
  /** the oneof that holds the field; undefined: it stands by itself */
  readonly oneof: string | undefined
  readonly codec: ValueCodec
}

const fieldsCodec = (desc: DescMessage, known: Map<string, ValueCodec>): ValueCodec => {
  const before = known.get(desc.typeName)
  if (before !== undefined) return before
  const plan: Array<FieldPlan> = []
  const codec: ValueCodec = {
    toRpc: (message, path) => {
      const from = message as Fields
      const to: Fields = {}
      for (const { codec, name, oneof } of plan) {
        const value = oneof === undefined ? from[name] : chosen(from[oneof], name)
        if (value !== undefined) to[name] = codec.toRpc(value, path === "" ? name : `${path}.${name}`)
      }
      return to
    },
    toProto: (value) => {
      const from = value as Fields
      const to: Fields = {}
      for (const { codec, name, oneof } of plan) {
        const value = from[name]
        if (value === undefined) continue
        if (oneof === undefined) to[name] = codec.toProto(value)
        else to[oneof] = { case: name, value: codec.toProto(value) }
      }
      return to
    }
  }
  known.set(desc.typeName, codec)
  for (const field of desc.fields) {
    plan.push({ name: field.localName, oneof: field.oneof?.localName, codec: fieldCodec(field, known) })
  }
  return codec
}

const chosen = (oneof: unknown, name: string): unknown => {
  const { case: member, value } = oneof as { readonly case: string | undefined; readonly value?: unknown }
  return member === name ? value : undefined
}
