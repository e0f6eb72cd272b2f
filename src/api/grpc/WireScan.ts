/**
 * Looks at a protobuf message before it is decoded, in one walk that keeps nothing. An item of a list is an object of a
 * hundred bytes, and on the wire two. Fields of inner messages, entries of maps and items of packed lists count like any
 * other.
 *
 * It reads as the decoder does. So it refuses a known field that comes with another wire type than its own. The decoder
 * would read that field by its own type, and see other fields behind it than this walk.
 */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf"
import { InvalidRequest } from "../../domain/Errors.js"
import { CALLER } from "../../domain/Limits.js"

interface Known {
  readonly wire: number
  /** a list of numbers, which may also stand in one delimited field */
  readonly packable: boolean
  readonly inside: Plan | undefined
}
/** The fields of a message by their numbers. */
type Plan = ReadonlyMap<number, Known>

const VARINT = 0
const FIXED_64 = 1
const DELIMITED = 2
const FIXED_32 = 5

const WIRE: Readonly<Partial<Record<ScalarType, number>>> = {
  [ScalarType.DOUBLE]: FIXED_64,
  [ScalarType.FIXED64]: FIXED_64,
  [ScalarType.SFIXED64]: FIXED_64,
  [ScalarType.FLOAT]: FIXED_32,
  [ScalarType.FIXED32]: FIXED_32,
  [ScalarType.SFIXED32]: FIXED_32,
  [ScalarType.STRING]: DELIMITED,
  [ScalarType.BYTES]: DELIMITED
}
const wireOf = (scalar: ScalarType | undefined): number => (scalar && WIRE[scalar]) ?? VARINT
const plain = (wire: number): Known => ({ wire, packable: false, inside: undefined })

const planOf = (desc: DescMessage, plans: Map<string, Plan>): Plan => {
  const before = plans.get(desc.typeName)
  if (before !== undefined) return before
  const plan = new Map<number, Known>()
  plans.set(desc.typeName, plan)
  for (const field of desc.fields) plan.set(field.number, knownOf(field, plans))
  return plan
}

const knownOf = (field: DescField, plans: Map<string, Plan>): Known => {
  const inside = field.message === undefined ? undefined : planOf(field.message, plans)
  const value = inside === undefined ? plain(wireOf(field.scalar)) : { wire: DELIMITED, packable: false, inside }
  if (field.fieldKind === "map") {
    const entry = new Map([
      [1, plain(wireOf(field.mapKey))],
      [2, value]
    ])
    return { wire: DELIMITED, packable: false, inside: entry }
  }
  return { ...value, packable: field.fieldKind === "list" && value.wire !== DELIMITED }
}

/** Messages inside messages: more than those of the contract have. */
const MAX_DEPTH = 16

const malformed = () => new InvalidRequest({ field: "", reason: "the message is not valid protobuf" })

class Walk {
  private at = 0
  private fields = 0

  constructor(private readonly bytes: Uint8Array) {}

  message(plan: Plan, end: number, depth: number): void {
    while (this.at < end) {
      const tag = this.varint(end)
      const wire = tag & 7
      const known = plan.get(tag >>> 3)
      this.count(1)
      if (tag < 8) throw malformed()
      if (known !== undefined && known.wire !== wire && !(known.packable && wire === DELIMITED)) throw malformed()
      if (wire === VARINT) this.varint(end)
      else if (wire === FIXED_64) this.at += 8
      else if (wire === FIXED_32) this.at += 4
      else if (wire === DELIMITED) this.delimited(known, end, depth)
      // a group: no message of the contract has one
      else throw malformed()
    }
    if (this.at !== end) throw malformed()
  }

  private delimited(known: Known | undefined, end: number, depth: number): void {
    const stop = this.varint(end) + this.at
    if (stop > end) throw malformed()
    if (known?.inside !== undefined) {
      if (depth === MAX_DEPTH) throw malformed()
      return this.message(known.inside, stop, depth + 1)
    }
    if (known?.packable === true) this.numbers(known.wire, stop)
    this.at = stop
  }

  private numbers(wire: number, stop: number): void {
    if (wire !== VARINT) return this.count((stop - this.at) / (wire === FIXED_64 ? 8 : 4))
    let numbers = 0
    for (let i = this.at; i < stop; i++) if (this.bytes[i]! < 0x80) numbers++
    this.count(numbers)
  }

  private count(fields: number): void {
    this.fields += fields
    if (this.fields > CALLER.GRPC_FIELDS) {
      throw new InvalidRequest({ field: "", reason: `the message has more than ${CALLER.GRPC_FIELDS} fields` })
    }
  }

  /** Its low 32 bits, which is all that a tag and a length have. */
  private varint(end: number): number {
    let value = 0
    for (let i = 0; i < 10 && this.at < end; i++) {
      const byte = this.bytes[this.at++]!
      if (i < 4) value += (byte & 0x7f) * 2 ** (7 * i)
      else if (i === 4) value += (byte & 0x0f) * 2 ** 28
      if (byte < 0x80) return value
    }
    throw malformed()
  }
}

/** A check for messages of one type. Throws `InvalidRequest` where there is more to decode than a request may have. */
export const scannerOf = (desc: DescMessage): ((bytes: Uint8Array) => void) => {
  const plan = planOf(desc, new Map())
  return (bytes) => new Walk(bytes).message(plan, bytes.length, 0)
}
