/** A List request, from loose to checked. */
import * as Either from "effect/Either"
import { ConnectionStatus } from "../ConnectionStatus.js"
import type { ListRequest, TagFilter } from "../Messages.js"
import { type Checked, enumeration, text, uint32 } from "./Check.js"
import { makePageToken, readPageToken } from "./PageToken.js"
import { checkFilters } from "./ValidateRequests.js"

export interface CheckedList {
  /** all must hold */
  readonly filters: ReadonlyArray<TagFilter>
  /** empty: any */
  readonly statuses: ReadonlySet<ConnectionStatus>
  /** "" is any, as with the next two */
  readonly topic: string
  readonly instanceId: string
  readonly urlPrefix: string
  readonly pageSize: number
  /** the page begins after this id */
  readonly after: string | undefined
  /** The token of the page that begins after `lastId`. */
  readonly nextPageToken: (lastId: string) => string
}

const STATUSES: Readonly<Record<string, ConnectionStatus | undefined>> = {
  CONNECTION_STATUS_UNSPECIFIED: undefined,
  ...Object.fromEntries(ConnectionStatus.literals.map((status) => [status, status] as const))
}

export const checkPageSize = (pageSize: number | undefined): Checked<number> =>
  Either.map(uint32("pageSize", pageSize, 100), (size) => Math.min(size, 1000))

export const checkList = (request: ListRequest): Checked<CheckedList> =>
  Either.gen(function* () {
    const filters = yield* checkFilters(request.filters)
    const statuses = new Set<ConnectionStatus>()
    for (const [i, asked] of (request.statuses ?? []).entries()) {
      const status = yield* enumeration(`statuses[${i}]`, asked, STATUSES, undefined)
      if (status !== undefined) statuses.add(status)
    }
    const topic = yield* text("topic", request.topic ?? "", 256)
    const instanceId = yield* text("instanceId", request.instanceId ?? "", 128)
    const urlPrefix = yield* text("urlPrefix", request.urlPrefix ?? "", 8192)
    const query = {
      filters: filters.map(({ key, value }) => [key, value]).sort(),
      statuses: [...statuses].sort(),
      topic,
      instanceId,
      urlPrefix
    }
    return {
      filters,
      statuses,
      topic,
      instanceId,
      urlPrefix,
      pageSize: yield* checkPageSize(request.pageSize),
      after: yield* readPageToken(query, request.pageToken),
      nextPageToken: (lastId) => makePageToken(query, lastId)
    }
  })
