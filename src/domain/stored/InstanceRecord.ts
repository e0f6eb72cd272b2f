/** What stands in the state store for an instance: its heartbeat record, its pages of connection ids, and the index. */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { StateStoreUnavailable } from "../Errors.js"
import { PEER } from "../Limits.js"
import { isInstanceId, isPeerAddress } from "../Peer.js"
import { INDEX_KEY, instanceKey, pageKey } from "./Keys.js"
import * as StoredJson from "./StoredJson.js"

type Unknown = { readonly unknown: Readonly<Record<string, unknown>> }
type Decoded<A> = Either.Either<A, StateStoreUnavailable>

export const HeartbeatStatus = Schema.Literal("alive", "draining", "left", "dead", "done")
export type HeartbeatStatus = typeof HeartbeatStatus.Type

const StoredHeartbeat = Schema.Struct({
  id: Schema.String,
  incarnation: Schema.String,
  status: HeartbeatStatus,
  /** dialled by the instances that read it */
  address: Schema.String.pipe(Schema.filter(isPeerAddress)),
  /** for people only, as every time of a peer */
  startedAt: Schema.String,
  bootId: Schema.String,
  pidNamespace: Schema.String,
  pid: Schema.Number,
  processStart: Schema.String,
  /** counts the writes of this incarnation */
  beat: Schema.Number,
  intervalMs: Schema.Number.pipe(Schema.between(1, PEER.HEARTBEAT_TTL_MS)),
  /** a peer is judged by the ttl in its own record */
  ttlMs: Schema.Number.pipe(Schema.between(1, PEER.HEARTBEAT_TTL_MS)),
  connections: Schema.Number,
  nonce: Schema.String,
  /** of a fence: why, and by whose incarnation */
  reason: Schema.optional(Schema.String),
  by: Schema.optional(Schema.String)
})
export type HeartbeatRecord = typeof StoredHeartbeat.Type & Unknown

const isConnectionId = (id: string): boolean => id !== "" && id.length <= 128 && !/[\p{Cc}/]/u.test(id)

const StoredPage = Schema.Struct({
  incarnation: Schema.String,
  /** nothing can be added any more: the instance that takes over has closed it */
  sealed: Schema.Boolean,
  /** a reader stops here: this page was missing when the ones before it were sealed */
  end: Schema.optional(Schema.Boolean),
  ids: Schema.Array(Schema.String),
  nonce: Schema.String
})
export type Page = typeof StoredPage.Type & Unknown

const StoredIndex = Schema.Struct({
  /** instance id -> incarnation */
  ids: Schema.transform(
    Schema.Record({ key: Schema.String, value: Schema.Unknown }),
    Schema.Record({ key: Schema.String, value: Schema.String }),
    {
      strict: true,
      decode: (all) =>
        Object.fromEntries(
          Object.entries(all).filter(
            (entry): entry is [string, string] => isInstanceId(entry[0]) && typeof entry[1] === "string"
          )
        ),
      encode: (ids) => ids
    }
  ),
  nonce: Schema.String
})
export type Index = typeof StoredIndex.Type & Unknown

/**
 * Whether this incarnation has ended, by what was read of its instance's heartbeat record; undefined: the store has none. A
 * read that failed says nothing.
 */
export const hasEnded = (record: HeartbeatRecord | undefined, incarnation: string): boolean =>
  record === undefined ||
  record.incarnation !== incarnation ||
  record.status === "dead" ||
  record.status === "left" ||
  record.status === "done"

/** The part of the heartbeat interval that pays for clocks that run at different rates, milliseconds. */
export const marginOf = (intervalMs: number): number => Math.max(intervalMs / 4, 250)

const codec = <A extends object, I>(schema: Schema.Schema<A, I>) => {
  const check = StoredJson.decoder(schema)
  const decode = (key: string, text: string): Decoded<A & Unknown> =>
    Either.flatMap(StoredJson.parse(key, text), (json) =>
      Either.map(check(key, json), (value) => ({
        ...value,
        unknown: StoredJson.beyond(json, value as StoredJson.Json)
      }))
    )
  const encode = ({ unknown, ...known }: A & Unknown): string => StoredJson.encode(known as StoredJson.Json, unknown)
  return { decode, encode }
}

const heartbeat = codec(StoredHeartbeat)
const page = codec(StoredPage)
const index = codec(StoredIndex)

export const encodeHeartbeat: (record: HeartbeatRecord) => string = heartbeat.encode
export const decodeHeartbeat = (id: string, text: string): Decoded<HeartbeatRecord> =>
  Either.filterOrLeft(
    heartbeat.decode(instanceKey(id), text),
    (record) => record.id === id,
    () => StoredJson.misplaced(instanceKey(id))
  )

export const encodePage: (value: Page) => string = page.encode
/** An entry that names no connection is left out. */
export const decodePage = (id: string, n: number, text: string): Decoded<Page> =>
  Either.map(page.decode(pageKey(id, n), text), (found) =>
    found.ids.every(isConnectionId) ? found : { ...found, ids: found.ids.filter(isConnectionId) }
  )

export const encodeIndex: (value: Index) => string = index.encode
/** An entry that cannot be understood is kept as it is, and costs itself alone. */
export const decodeIndex = (text: string): Decoded<Index> => index.decode(INDEX_KEY, text)
