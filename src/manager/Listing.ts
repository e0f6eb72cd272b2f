/** Get and List: what stands in this instance's hands is shown as it is now, the rest from its record. */
import * as Effect from "effect/Effect"
import type { ManagerError } from "../domain/Errors.js"
import type { Connection, ListRequest, ListResponse, TagFilter } from "../domain/Messages.js"
import type { ConnectionRecord } from "../domain/Record.js"
import { redactUrl } from "../domain/Redact.js"
import { type CheckedList, checkId, checkList } from "../domain/Validate.js"
import { checked, type Core, elsewhere, whenSettled } from "./Core.js"

/** A page ends early here, so that it fits every door. */
const PAGE_BYTES = 3 * 1024 * 1024

export const get = (core: Core, id: string): Effect.Effect<Connection, ManagerError> =>
  Effect.gen(function* () {
    const canonical = yield* checked(checkId(id))
    const local = core.connections.get(canonical)
    if (local !== undefined) return local.view()
    const record = yield* elsewhere(core, canonical)
    return core.connections.get(canonical)?.view() ?? fromRecord(record)
  })

export const list = (core: Core, request: ListRequest): Effect.Effect<ListResponse, ManagerError> =>
  Effect.gen(function* () {
    const query = yield* checked(checkList(request))
    yield* whenSettled(core)
    const connections: Array<Connection> = []
    let bytes = 0
    for (const id of core.connections.idsAfter(query.after)) {
      const shown = core.connections.get(id)?.view()
      if (shown === undefined || !matches(query, shown)) continue
      bytes += sizeOf(shown)
      const full = connections.length >= query.pageSize || (bytes > PAGE_BYTES && connections.length > 0)
      if (full) return { connections, nextPageToken: query.nextPageToken(connections.at(-1)!.id) }
      connections.push(shown)
    }
    return { connections, nextPageToken: "" }
  })

const matches = (query: CheckedList, c: Connection): boolean =>
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

const fromRecord = (record: ConnectionRecord): Connection => ({
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
