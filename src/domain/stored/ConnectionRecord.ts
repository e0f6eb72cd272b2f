/**
 * What stands in the state store for a connection: its record, or a tombstone that keeps the epoch.
 *
 * Unknown fields are kept on rewriting, and an unknown `v` is refused. So a newer version can read what this one leaves,
 * and this one never destroys what a newer one wrote.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Position } from "../ConnectionEvent.js"
import { ConnectionStatus } from "../ConnectionStatus.js"
import type { StateStoreUnavailable } from "../Errors.js"
import { Spec } from "../Spec.js"
import { connectionKey } from "./Keys.js"
import * as StoredJson from "./StoredJson.js"

export interface ConnectionRecord {
  readonly id: string
  readonly spec: Spec
  /** of the request as first asked, tags and topic too: tells a repeated request_id from a different one */
  readonly specHash: string
  readonly owner: string
  readonly incarnation: string
  readonly epoch: number
  /** of the write: settles an unknown outcome */
  readonly nonce: string
  readonly status: ConnectionStatus
  readonly handover: { readonly id: string; readonly incarnation: string } | undefined
  readonly tags: Readonly<Record<string, string>>
  /** "": not publishing */
  readonly topic: string
  /** milliseconds since 1970, as all times here; ISO 8601 in the store */
  readonly createdAt: number
  readonly connectedAt: number | undefined
  readonly lastFrameAt: number | undefined
  readonly lastError: string
  readonly lastCloseCode: number
  /** the last (epoch, sequence) known published */
  readonly last: Position
  /** the connection is, or was, on trial: see `Trial` */
  readonly trial?: Trial | undefined
  /** fields of a newer version, at every depth, kept as they are */
  readonly unknown: Readonly<Record<string, unknown>>
}

export interface Tombstone {
  readonly id: string
  readonly tombstone: true
  readonly epoch: number
  readonly nonce: string
  readonly removedAt: number
  readonly unknown: Readonly<Record<string, unknown>>
}

/** The largest record, in bytes as the store keeps it. */
export const RECORD_MAX_BYTES = 256 * 1024

export const isTombstone = (stored: ConnectionRecord | Tombstone): stored is Tombstone => "tombstone" in stored

const Time = Schema.transform(Schema.String, Schema.Number, {
  strict: true,
  decode: (text) => Date.parse(text) || 0,
  encode: (millis) => new Date(millis).toISOString()
})

const StoredRecord = Schema.Struct({
  id: Schema.String,
  spec: Schema.Unknown,
  specHash: Schema.String,
  owner: Schema.String,
  incarnation: Schema.String,
  epoch: Schema.Number,
  nonce: Schema.String,
  status: ConnectionStatus,
  handover: Schema.optional(Schema.Struct({ id: Schema.String, incarnation: Schema.String })),
  tags: Schema.Record({ key: Schema.String, value: Schema.String }),
  topic: Schema.String,
  createdAt: Time,
  connectedAt: Schema.optional(Time),
  lastFrameAt: Schema.optional(Time),
  lastError: Schema.String,
  lastCloseCode: Schema.Number,
  last: Schema.Struct({ epoch: Schema.Number, sequence: Schema.Number, at: Schema.optional(Time) }),
  trial: Schema.optional(
    Schema.Struct({
      by: Schema.optional(Schema.String),
      deaths: Schema.Number,
      alone: Schema.optional(Schema.Boolean)
    })
  )
})
const StoredTombstone = Schema.Struct({
  id: Schema.String,
  tombstone: Schema.Literal(true),
  epoch: Schema.Number,
  nonce: Schema.String,
  removedAt: Time
})

// ------------------------------------------------------------ the spec, its bytes as base64

const toBase64 = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")

const specToJson = (spec: Spec): StoredJson.Json => ({
  ...spec,
  handshake: spec.handshake?.map((step) => ({
    ...step,
    sendText: toBase64(step.sendText),
    sendBinary: toBase64(step.sendBinary)
  })),
  keepAlive: spec.keepAlive && {
    ...spec.keepAlive,
    pingMessage: toBase64(spec.keepAlive.pingMessage),
    pingBinary: toBase64(spec.keepAlive.pingBinary)
  }
})

const withBytes = (value: unknown, fields: ReadonlyArray<string>): unknown => {
  if (typeof value !== "object" || value === null) return value
  const result: Record<string, unknown> = { ...value }
  for (const field of fields) {
    const text = result[field]
    if (typeof text === "string") result[field] = new Uint8Array(Buffer.from(text, "base64"))
  }
  return result
}

const decodeSpec = Schema.decodeUnknownEither(Spec)
const specFromJson = (json: unknown) => {
  if (typeof json !== "object" || json === null) return decodeSpec(json)
  const { handshake, keepAlive, ...rest } = json as { handshake?: unknown; keepAlive?: unknown }
  return decodeSpec({
    ...rest,
    ...(Array.isArray(handshake) && { handshake: handshake.map((s) => withBytes(s, ["sendText", "sendBinary"])) }),
    ...(keepAlive !== undefined && { keepAlive: withBytes(keepAlive, ["pingMessage", "pingBinary"]) })
  })
}

// ------------------------------------------------------------ to and from the store

const time = (millis: number | undefined): string | undefined =>
  millis === undefined ? undefined : new Date(millis).toISOString()

const recordToJson = (record: ConnectionRecord): StoredJson.Json => {
  const { connectedAt, createdAt, last, lastFrameAt, spec, unknown: _, ...rest } = record
  return {
    ...rest,
    spec: specToJson(spec),
    createdAt: time(createdAt),
    connectedAt: time(connectedAt),
    lastFrameAt: time(lastFrameAt),
    last: { epoch: last.epoch, sequence: last.sequence, at: last.at === 0 ? undefined : time(last.at) }
  }
}

export const encodeRecord = (record: ConnectionRecord): string =>
  StoredJson.encode(recordToJson(record), record.unknown)

export const encodeTombstone = (tombstone: Tombstone): string => {
  const { removedAt, unknown, ...rest } = tombstone
  return StoredJson.encode({ ...rest, removedAt: time(removedAt) }, unknown)
}

const readRecord = StoredJson.decoder(StoredRecord)
const readTombstone = StoredJson.decoder(StoredTombstone)

/** What stands under a connection's key. Fails, naming the key, on another `v` or on a value that cannot be read. */
export const decodeStored = (
  id: string,
  text: string
): Either.Either<ConnectionRecord | Tombstone, StateStoreUnavailable> => {
  const key = connectionKey(id)
  return Either.flatMap(
    StoredJson.parse(key, text),
    (json): Either.Either<ConnectionRecord | Tombstone, StateStoreUnavailable> => {
      if (json["id"] !== id) return Either.left(StoredJson.misplaced(key))
      if (json["tombstone"] === true) {
        return Either.map(readTombstone(key, json), (stored) => ({
          ...stored,
          unknown: StoredJson.beyond(json, stored)
        }))
      }
      return Either.flatMap(readRecord(key, json), (stored) =>
        Either.mapBoth(specFromJson(stored.spec), {
          onLeft: (error) => StoredJson.unreadable(key, error),
          onRight: (spec) => fromStored(stored, spec, json)
        })
      )
    }
  )
}

const fromStored = (stored: typeof StoredRecord.Type, spec: Spec, json: StoredJson.Json): ConnectionRecord => {
  const record: ConnectionRecord = {
    ...stored,
    spec,
    handover: stored.handover,
    connectedAt: stored.connectedAt,
    lastFrameAt: stored.lastFrameAt,
    last: { epoch: stored.last.epoch, sequence: stored.last.sequence, at: stored.last.at ?? 0 },
    unknown: {}
  }
  return { ...record, unknown: StoredJson.beyond(json, recordToJson(record)) }
}

/** A record that is being tried, as domain/stored/Trial.ts judges it. */
export interface Trial {
  /** the incarnation that tries it; undefined: a suspect whose turn has not come, or one in quarantine */
  readonly by?: string | undefined
  /** incarnations that ended while they tried it */
  readonly deaths: number
  /** it is the only suspect that is tried now */
  readonly alone?: boolean | undefined
}

// ------------------------------------------------------------ The arithmetic of ownership; pure

/**
 * The epoch of a new owner: above the old one (0: none known), and at least the Unix seconds. So it grows over expired
 * tombstones and over a store that was set back.
 */
export const nextEpoch = (old: number, nowMillis: number): number => Math.max(old + 1, Math.floor(nowMillis / 1000))

/** Whether the record names this instance, this incarnation and this epoch. */
export const names = (
  record: ConnectionRecord,
  owner: { readonly id: string; readonly incarnation: string; readonly epoch: number }
): boolean => record.owner === owner.id && record.incarnation === owner.incarnation && record.epoch === owner.epoch
