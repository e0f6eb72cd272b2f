/** Get and List of what stands in this instance's hands, and what both show of a record. */
import * as Effect from "effect/Effect"
import type { ErrorOf } from "../../domain/Methods.js"
import { CALLER } from "../../domain/Limits.js"
import type { Connection, ListRequest, ListResponse, TagFilter } from "../../domain/Messages.js"
import { redactUrl } from "../../domain/secrets/Redact.js"
import type { ConnectionRecord } from "../../domain/stored/ConnectionRecord.js"
import { type CheckedList, checkList } from "../../domain/validation/Validate.js"
import { checked, type ManagerContext, owned, whenRecovered } from "../connection/ManagerContext.js"

/** A page ends early here, so that it fits every door. */
const PAGE_BYTES = 3 * 1024 * 1024
/** What one costs at most, some twenty milliseconds, as bytes of a turn: so many of them are made in one. */
const PAGE_COST = CALLER.TURN_BYTES / 8

export const get = (core: ManagerContext, id: string): Effect.Effect<Connection, ErrorOf<"Get">> =>
  Effect.map(owned(core, id), (c) => c.view())

export const list = (core: ManagerContext, request: ListRequest): Effect.Effect<ListResponse, ErrorOf<"List">> =>
  Effect.gen(function* () {
    const query = yield* checked(checkList(request))
    yield* whenRecovered(core)
    yield* core.sending.begin(PAGE_COST)
    const page = new Page(query)
    for (const id of core.connections.idsAfter(query.after)) {
      const shown = core.connections.get(id)?.view()
      if (shown !== undefined && matches(query, shown) && !page.add(shown)) break
    }
    return page.response()
  })

/** One page of a List as it fills, in the order of ids. */
export class Page {
  readonly connections: Array<Connection> = []
  private bytes = 0
  /** there is more than this page holds */
  more = false

  constructor(private readonly query: CheckedList) {}

  /** False: it has no room for this one. */
  add(connection: Connection): boolean {
    this.bytes += sizeOf(connection)
    const { length } = this.connections
    this.more = length >= this.query.pageSize || (this.bytes > PAGE_BYTES && length > 0)
    if (!this.more) this.connections.push(connection)
    return !this.more
  }

  response(): ListResponse {
    const { connections, more } = this
    return { connections, nextPageToken: more ? this.query.nextPageToken(connections.at(-1)!.id) : "" }
  }
}

export const matches = (query: CheckedList, c: Connection): boolean =>
  (query.statuses.size === 0 || query.statuses.has(c.status)) &&
  (query.topic === "" || query.topic === c.topic) &&
  (query.instanceId === "" || query.instanceId === c.instanceId) &&
  c.url.startsWith(query.urlPrefix) &&
  hasTags(query.filters, c.tags)

/** Whether every filter holds. */
export const hasTags = (filters: ReadonlyArray<TagFilter>, tags: Readonly<Record<string, string>>): boolean =>
  filters.every(({ key, value }) => Object.hasOwn(tags, key) && tags[key] === value)

/** About what a connection takes on the wire: its variable parts, and a round sum for the rest. */
const sizeOf = (c: Connection): number => {
  const { byteLength } = Buffer
  let bytes = 600 + byteLength(c.url) + byteLength(c.lastError) + byteLength(c.topic)
  for (const key in c.tags) bytes += 16 + byteLength(key) + byteLength(c.tags[key]!)
  return bytes
}

/** A connection as its owner wrote it last. */
export const fromRecord = (record: ConnectionRecord): Connection => ({
  id: record.id,
  url: redactUrl(record.spec.url),
  status: record.status,
  topic: record.topic,
  instanceId: record.owner,
  contentType: "",
  tags: record.tags,
  autoReconnect: record.spec.autoReconnect ?? true,
  epoch: record.epoch,
  createdAt: new Date(record.createdAt),
  ...(record.connectedAt === undefined ? {} : { connectedAt: new Date(record.connectedAt) }),
  ...(record.lastFrameAt === undefined ? {} : { lastFrameAt: new Date(record.lastFrameAt) }),
  framesReceived: 0,
  framesPublished: 0,
  framesDropped: 0,
  framesSent: 0,
  reconnectAttempts: 0,
  lastError: record.lastError,
  lastCloseCode: record.lastCloseCode
})
