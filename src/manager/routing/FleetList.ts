/**
 * Get and List over the whole fleet: each instance is asked for what it has; one that does not answer in time, or has ended,
 * is listed from its records.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { ConnectionNotFound, type StateStoreUnavailable } from "../../domain/Errors.js"
import type { Connection, ListRequest, ListResponse } from "../../domain/Messages.js"
import type { ErrorOf } from "../../domain/Methods.js"
import type { ConnectionRecord } from "../../domain/stored/ConnectionRecord.js"
import { type CheckedList, checkId, checkList } from "../../domain/validation/Validate.js"
import type { Peer } from "../../ports/Peers.js"
import { checked, elsewhere } from "../connection/ManagerContext.js"
import { fromRecord, matches, Page } from "../operations/List.js"
import type { RoutingContext } from "./Forward.js"

/** How long an instance may take to tell what it has. */
const PEER_LIST_TIMEOUT = "1 second"
/** Records read at once, of an instance that does not answer. */
const RECORDS_AT_ONCE = 256

const asked = (reach: RoutingContext, owner: Peer, method: "Get" | "List", request: unknown) =>
  Effect.timeoutOption(reach.peers.call(owner.address, method, request), PEER_LIST_TIMEOUT)

// ------------------------------------------------------------ Get

export const get = (reach: RoutingContext, id: string): Effect.Effect<Connection, ErrorOf<"Get">> =>
  Effect.gen(function* () {
    const { core } = reach
    const canonical = yield* checked(checkId(id))
    const shown = () => core.connections.get(canonical)?.view()
    const local = shown()
    if (local !== undefined) return local
    const record = yield* elsewhere(core, canonical)
    const told = shown() ?? (yield* ownersView(reach, record))
    if (told !== undefined) return told
    // moved while it was asked for: its new owner knows better than the record
    const again = yield* elsewhere(core, canonical)
    const moved = again.owner !== record.owner || again.incarnation !== record.incarnation
    return shown() ?? (moved ? yield* ownersView(reach, again) : undefined) ?? fromRecord(again)
  })

/** Undefined: the owner does not answer, or has it no more. */
const ownersView = (
  reach: RoutingContext,
  { id, incarnation, owner }: ConnectionRecord
): Effect.Effect<Connection | undefined, ConnectionNotFound> =>
  Effect.gen(function* () {
    if (owner === reach.core.instanceId) return undefined
    const address = yield* Effect.either(reach.membership.addressOf(owner, incarnation))
    if (Either.isLeft(address) || Option.isNone(address.right)) return undefined
    const answer = yield* Effect.either(asked(reach, address.right.value, "Get", { id }))
    if (Either.isLeft(answer)) {
      return answer.left._tag === "ConnectionNotFound" ? yield* answer.left : undefined
    }
    return Option.isNone(answer.right) ? undefined : (answer.right.value as { connection: Connection }).connection
  })

// ------------------------------------------------------------ List

/** What one instance has beyond the last page, in the order of ids. */
interface Part {
  readonly connections: ReadonlyArray<Connection>
  /** it has more, all of it behind the last of these */
  readonly more: boolean
  /** as its records say: it did not answer */
  readonly recorded?: boolean
}

/** An instance that may have connections; `peer` where it has not ended. */
interface Source {
  readonly id: string
  readonly peer: Peer | undefined
}

export const list = (reach: RoutingContext, request: ListRequest): Effect.Effect<ListResponse, ErrorOf<"List">> =>
  Effect.gen(function* () {
    const query = yield* checked(checkList(request))
    const self = reach.core.instanceId
    const wanted = (id: string) => query.instanceId === "" || query.instanceId === id
    const others = (yield* sources(reach)).filter(({ id }) => id !== self && wanted(id))
    const mine = wanted(self) ? [Effect.map(reach.local.operations.list(request), toPart)] : []
    const parts = yield* Effect.all([...mine, ...others.map((source) => partOf(reach, source, query, request))], {
      concurrency: "unbounded"
    })
    return merged(query, parts)
  })

/** All live instances, and all ended ones whose takeover is not finished. */
const sources = (reach: RoutingContext): Effect.Effect<ReadonlyArray<Source>> =>
  Effect.gen(function* () {
    const members = reach.membership.members()
    const known = yield* Effect.either(Effect.timeoutOption(reach.membership.instances, PEER_LIST_TIMEOUT))
    const all = new Map<string, Source>(members.map((peer) => [peer.id, { id: peer.id, peer }]))
    // while the store is away there is no takeover either: the instances that were seen last are the ones to list
    if (Either.isLeft(known) || Option.isNone(known.right)) return [...all.values()]
    for (const { id } of known.right.value) if (!all.has(id)) all.set(id, { id, peer: undefined })
    return [...all.values()]
  })

const toPart = ({ connections, nextPageToken }: ListResponse): Part => ({ connections, more: nextPageToken !== "" })

const partOf = (
  reach: RoutingContext,
  { id, peer }: Source,
  query: CheckedList,
  request: ListRequest
): Effect.Effect<Part, StateStoreUnavailable> =>
  Effect.gen(function* () {
    if (peer !== undefined) {
      const answer = yield* Effect.option(Effect.flatten(asked(reach, peer, "List", request)))
      if (Option.isSome(answer)) return toPart(answer.value as ListResponse)
    }
    return yield* recorded(reach, id, query)
  })

const recorded = (reach: RoutingContext, id: string, query: CheckedList): Effect.Effect<Part, StateStoreUnavailable> =>
  Effect.gen(function* () {
    const { after } = query
    const ids = (yield* reach.browsing.idsOf(id)).filter((one) => after === undefined || one > after)
    const page = new Page(query)
    for (let first = 0; first < ids.length && !page.more; first += RECORDS_AT_ONCE) {
      for (const record of yield* reach.browsing.records(ids.slice(first, first + RECORDS_AT_ONCE))) {
        const connection = fromRecord(record)
        if (matches(query, connection) && !page.add(connection)) break
      }
    }
    return { connections: page.connections, more: page.more, recorded: true }
  })

/**
 * One page of all parts. It ends where the shortest part that has more ends: beyond that point a part may be missing.
 * Where two parts name one connection, the newer owner's counts; at the same epoch an instance's answer knows better than a record.
 */
const merged = (query: CheckedList, parts: ReadonlyArray<Part>): ListResponse => {
  const newest = new Map<string, Connection>()
  let horizon: string | undefined
  const answersFirst = [...parts].sort((a, b) => Number(a.recorded === true) - Number(b.recorded === true))
  for (const { connections, more } of answersFirst) {
    for (const connection of connections) {
      const other = newest.get(connection.id)
      if (other === undefined || connection.epoch > other.epoch) newest.set(connection.id, connection)
    }
    const last = connections.at(-1)?.id
    if (more && last !== undefined && (horizon === undefined || last < horizon)) horizon = last
  }
  const page = new Page(query)
  for (const id of [...newest.keys()].sort()) {
    if (horizon !== undefined && id > horizon) break
    if (!page.add(newest.get(id)!)) break
  }
  page.more ||= horizon !== undefined
  return page.response()
}
