/**
 * Rebalance: connections move from instances that have more than their share to those that have less, until each is within
 * one of the mean. Nothing else ever moves connections onto an instance that has just joined.
 *
 * Only an owner can offer what is its own: this instance counts, plans, and asks each owner to migrate connection by
 * connection. Paced, so that what has to be dialled anew leaves half of a host's dial budget to the others.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pacer from "../../common/Pacer.js"
import type { ErrorOf } from "../../domain/Methods.js"
import type { Instance, ListResponse, RebalanceRequest, RebalanceResponse } from "../../domain/Messages.js"
import { checkRebalance } from "../../domain/validation/Validate.js"
import { CallDeadline } from "../../ports/CallDeadline.js"
import type { Peer } from "../../ports/Peers.js"
import { acceptsWork, checked } from "../connection/ManagerContext.js"
import { evenOut, type Transfer } from "./Balance.js"
import { migrate, type MigrationContext } from "./Migrate.js"

const MOVE_CONCURRENCY = 8
const PAGE = 1000
/** How long an owner may take to hand one over, milliseconds: a make-before-break opens the new socket first. */
const MOVE_WITHIN = 30_000
/** How long an instance may take to say how many connections it has; without an answer it neither gives nor takes. */
const COUNT_WITHIN = "3 seconds"

export const rebalance = (
  fleet: MigrationContext,
  request: RebalanceRequest
): Effect.Effect<RebalanceResponse, ErrorOf<"Rebalance">> =>
  Effect.gen(function* () {
    const { dryRun, maxMoves } = yield* checked(checkRebalance(request))
    yield* acceptsWork(fleet.core)
    const live = new Map(fleet.membership.live().map((peer) => [peer.id, peer]))
    const counts = new Map(
      (yield* Effect.forEach(live.values(), (peer) => count(fleet, peer), { concurrency: MOVE_CONCURRENCY })).flat()
    )
    const plan = evenOut(counts, maxMoves)
    const planned = total(plan)
    if (dryRun) {
      for (const transfer of plan) shift(counts, transfer, transfer.count)
      return { moved: planned, failed: 0, connections: Object.fromEntries(counts) }
    }
    yield* Effect.logInfo(`rebalancing: ${planned} connections are to move`)
    yield* untilTheyDial(fleet, new Set(plan.map(({ to }) => to)))
    const pacer = Pacer.make(fleet.core.steady)
    const perSecond = Math.max(1, fleet.core.settings.dialRatePerHost / 2)
    let moved = 0
    const move = (id: string, transfer: Transfer) =>
      Effect.gen(function* () {
        yield* pacer.take(perSecond)
        if (!(yield* moveOne(fleet, live.get(transfer.from)!, transfer.to, id))) return
        moved++
        shift(counts, transfer, 1)
      })
    const work = yield* Effect.forEach(new Set(plan.map(({ from }) => from)), (from) => {
      const transfers = plan.filter((transfer) => transfer.from === from)
      return Effect.map(idsOf(fleet, live.get(from)!, total(transfers)), (ids) => {
        let at = 0
        return transfers.flatMap((transfer) => ids.slice(at, (at += transfer.count)).map((id) => ({ id, transfer })))
      })
    })
    yield* Effect.forEach(work.flat(), ({ id, transfer }) => move(id, transfer), {
      concurrency: MOVE_CONCURRENCY,
      discard: true
    })
    yield* Effect.logInfo(`rebalanced: ${moved} moved, ${planned - moved} failed`)
    return { moved, failed: planned - moved, connections: Object.fromEntries(counts) }
  })

/** One that has just joined has no share of the dial budget yet: what it took now would be without a socket for so long. */
const untilTheyDial = ({ core, membership }: MigrationContext, takers: ReadonlySet<string>): Effect.Effect<void> => {
  const waits = () => membership.live().some(({ id, mayDial }) => takers.has(id) && !mayDial)
  return Effect.repeat(Effect.sleep("100 millis"), { while: waits }).pipe(
    Effect.timeoutOption(Duration.times(core.settings.heartbeatInterval, 3)),
    Effect.when(waits),
    Effect.asVoid
  )
}

const total = (transfers: ReadonlyArray<Transfer>): number => transfers.reduce((sum, { count }) => sum + count, 0)

const shift = (counts: Map<string, number>, { from, to }: Transfer, n: number): void => {
  counts.set(from, counts.get(from)! - n)
  counts.set(to, counts.get(to)! + n)
}

const isMe = ({ core }: MigrationContext, { id }: Peer): boolean => id === core.instanceId

/** What it has at this moment, by its own word. */
const count = (fleet: MigrationContext, peer: Peer): Effect.Effect<ReadonlyArray<readonly [string, number]>> => {
  if (isMe(fleet, peer)) return Effect.sync(() => [[peer.id, fleet.core.connections.size]])
  return fleet.peers.call(peer.address, "ListInstances", {}).pipe(
    Effect.timeout(COUNT_WITHIN),
    Effect.map((answer): ReadonlyArray<readonly [string, number]> => {
      const all = (answer as { readonly instances: ReadonlyArray<Instance> }).instances
      const own = all.find(({ id }) => id === peer.id)
      return own === undefined ? [] : [[peer.id, own.connections]]
    }),
    Effect.catchAll((error) =>
      Effect.as(Effect.logWarning(`instance ${peer.id} does not say how many connections it has`, error), [])
    )
  )
}

/** So many ids of an instance's connections, or fewer where it does not answer. */
const idsOf = (fleet: MigrationContext, peer: Peer, n: number): Effect.Effect<ReadonlyArray<string>> => {
  if (isMe(fleet, peer)) return Effect.sync(() => fleet.core.connections.idsAfter(undefined).slice(0, n))
  const page = (ids: ReadonlyArray<string>, pageToken: string): Effect.Effect<ReadonlyArray<string>> =>
    fleet.peers
      .call(peer.address, "List", { instanceId: peer.id, pageSize: Math.min(PAGE, n - ids.length), pageToken })
      .pipe(
        Effect.flatMap((answer) => {
          const { connections, nextPageToken } = answer as ListResponse
          const more = [...ids, ...connections.map(({ id }) => id)]
          return more.length >= n || nextPageToken === "" ? Effect.succeed(more) : page(more, nextPageToken)
        }),
        Effect.catchAll((error) =>
          Effect.as(Effect.logWarning(`instance ${peer.id} does not list its connections`, error), ids)
        )
      )
  return page([], "")
}

/** Whether the owner says that it has moved. */
const moveOne = (
  fleet: MigrationContext,
  owner: Peer,
  targetInstanceId: string,
  id: string
): Effect.Effect<boolean> => {
  const request = { id, targetInstanceId }
  const moving: Effect.Effect<unknown, unknown> = isMe(fleet, owner)
    ? migrate(fleet, request)
    : Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.provideService(fleet.peers.call(owner.address, "Migrate", request), CallDeadline, now + MOVE_WITHIN)
      )
  return moving.pipe(
    Effect.as(true),
    Effect.catchAll((error) => Effect.as(Effect.logWarning(`connection ${id} was not moved`, error), false))
  )
}
