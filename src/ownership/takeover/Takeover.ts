/**
 * Takes over one incarnation that has ended (src/ownership/README.md, Taking over): its pages sealed, each id sorted, orphans
 * claimed; again and again, until a pass finds nothing and everything of it can go. Any survivor does the same at the same
 * time, and each step may be repeated by any of them.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { yieldToEventLoop } from "../../common/YieldToEventLoop.js"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import { decodeHeartbeat, encodeHeartbeat } from "../../domain/stored/InstanceRecord.js"
import { instanceKey, PAGE_SIZE } from "../../domain/stored/Keys.js"
import { isNewer } from "../../domain/stored/StoredJson.js"
import type { Incarnation } from "../../membership/lease/Lease.js"
import { DEPARTED_TTL, TAKEOVER_GRACE_MS } from "../../membership/lease/LeaseTimings.js"
import type { Victim } from "../../membership/Membership.js"
import type { ValueTooLarge, Version } from "../../ports/StateStore.js"
import { put } from "../../state/GuardedWrite.js"
import type { OrphanClaim } from "../records/OwnedConnection.js"
import type { PageTenure, StoreContext } from "../records/StoreContext.js"
import { claimOrphan, isTaken } from "./Claim.js"
import type { ClaimGate } from "./ClaimGate.js"
import * as IndexCleanup from "./IndexCleanup.js"
import { place } from "./Placement.js"
import {
  type EndedOwner,
  type Observation,
  observe,
  type Orphan,
  reconcile,
  type UndecodableRecord
} from "./Reconcile.js"
import { empty, type SealedPage, sealPages } from "./SealPages.js"

export interface TakeoverContext {
  readonly context: StoreContext
  readonly tenure: PageTenure
  /** ids of the instances that can take work */
  readonly live: () => ReadonlyArray<string>
  /** Waits until so many more may be claimed. */
  readonly pace: (claims: number) => Effect.Effect<void>
  /** ids that are claimed together, and go onto our page in one write */
  readonly group: number
  /** between two passes, milliseconds */
  readonly interval: number
  readonly deliver: (claimed: OrphanClaim) => Effect.Effect<void>
  readonly gate: ClaimGate
}
const GROUPS_AT_ONCE = 2
const SORTED_AT_ONCE = 32

type Failure = StateStoreUnavailable | ValueTooLarge

/** What one pass over the victim's pages came to. */
interface Pass {
  /** nothing is left to do for any id */
  clean: boolean
  claimed: number
}

/**
 * Ends when nothing of the victim is left, or it lives again and cares itself. Ends too when this incarnation has ended, or
 * takes no work any more.
 */
export const takeOver = (services: TakeoverContext, victim: Victim): Effect.Effect<void> => {
  const { context, tenure } = services
  const { life } = tenure
  const began = context.elapsed.mark()
  const former: EndedOwner = {
    isIt: ({ id, incarnation }) => id === victim.id && incarnation === victim.incarnation,
    renewed: new Set()
  }
  const trying = context.essentials.retrying(`taking over instance ${victim.id}`)
  const unsettled = new Set<string>()
  /** the last pass found something that was this instance's to claim */
  let busy = true

  /** What it is of this version is said once: it stays as it is, on its page, for one that can do more. */
  const leftAsItIs = (id: string, cause: unknown): Effect.Effect<undefined> =>
    Effect.suspend(() => {
      if (unsettled.has(id)) return Effect.succeed(undefined)
      unsettled.add(id)
      return Effect.as(Effect.logError(`connection ${id} is left as it is`, cause), undefined)
    })

  const sortOne = (
    id: string,
    seen: Either.Either<Observation, UndecodableRecord>
  ): Effect.Effect<Orphan | "open" | "done", Failure> =>
    Effect.gen(function* () {
      if (Either.isLeft(seen)) return yield* Effect.as(leftAsItIs(id, seen.left.cause), "open" as const)
      // this instance creates, claims or removes it just now: what becomes of it is not clear yet
      if (tenure.retained.has(id) || context.busy.has(id) || context.pendingRemoval.has(id)) return "open"
      const verdict = yield* reconcile(context, tenure, former, seen.right, { patient: false })
      if (verdict._tag === "Orphan") return verdict
      return verdict._tag === "Again" ? "open" : "done"
    })

  const claimAll = (orphans: ReadonlyArray<Orphan>): Effect.Effect<number> =>
    Effect.forEach(groups(orphans, services.group), (group) => claimGroup(services, group, leftAsItIs), {
      concurrency: GROUPS_AT_ONCE
    }).pipe(Effect.map((counts) => counts.reduce((sum, count) => sum + count, 0)))

  const passOver = (ids: ReadonlyArray<string>): Effect.Effect<Pass, Failure> =>
    Effect.gen(function* () {
      const anybody = !busy && context.elapsed.since(began) > TAKEOVER_GRACE_MS
      const order = anybody ? fromMyPlace(ids, services.live(), context.instanceId) : ids
      const pass: Pass = { clean: true, claimed: 0 }
      for (let at = 0; at < order.length && life.valid() && !services.gate.closed; at += PAGE_SIZE) {
        const seen = yield* observe(context, life, order.slice(at, at + PAGE_SIZE))
        const sorted = yield* Effect.forEach(seen, ([id, sight]) => sortOne(id, sight), { concurrency: SORTED_AT_ONCE })
        if (sorted.some((one) => one !== "done")) pass.clean = false
        const live = services.live()
        const orphans = sorted.filter((one): one is Orphan => typeof one === "object")
        const mine = orphans.filter(({ record }) => anybody || place(record.id, live) === context.instanceId)
        pass.claimed += yield* claimAll(mine)
        yield* yieldToEventLoop
      }
      if (!life.valid() || services.gate.closed) pass.clean = false
      busy = pass.claimed > 0
      return pass
    })

  /** True: there is nothing more to do. */
  const attempt = Effect.gen(function* () {
    const before = yield* readRecord(context, life, victim)
    if (before === undefined) return true
    if (before.record.status === "done") {
      yield* IndexCleanup.forget(context.store, life, { [victim.id]: victim.incarnation })
      return true
    }
    const pages = yield* sealPages(context.store, life, victim)
    const ids = [...new Set(pages.flatMap(({ page }) => page.ids))]
    const { clean } = yield* passOver(ids)
    const unread = pages.find((page) => page.unread !== undefined)?.unread
    if (unread !== undefined) return yield* new StateStoreUnavailable({ reason: `${unread}; it is left as it is` })
    return clean && (yield* finish(services, victim, before.version, pages))
  })

  return Effect.gen(function* () {
    while (!life.ended() && !services.gate.closed) {
      const over = life.valid()
        ? yield* Effect.catchAll(attempt, (error) =>
            Effect.logDebug(`taking over instance ${victim.id} is tried again`, error).pipe(
              Effect.zipRight(trying.failed(error.message)),
              Effect.as(false)
            )
          )
        : false
      if (over) return
      yield* Effect.sleep(services.interval)
    }
  }).pipe(Effect.ensuring(Effect.sync(trying.over)))
}

export const groups = (orphans: ReadonlyArray<Orphan>, size: number): ReadonlyArray<ReadonlyArray<Orphan>> =>
  Array.from({ length: Math.ceil(orphans.length / size) }, (_, i) => orphans.slice(i * size, (i + 1) * size))

/** Each survivor begins elsewhere, so that all of them do not race for the same ids from the same end. */
const fromMyPlace = (ids: ReadonlyArray<string>, live: ReadonlyArray<string>, me: string): ReadonlyArray<string> => {
  const all = live.toSorted()
  const from = Math.floor((ids.length * Math.max(all.indexOf(me), 0)) / Math.max(all.length, 1))
  return [...ids.slice(from), ...ids.slice(0, from)]
}

/** How many of these became this instance's. */
export const claimGroup = (
  { deliver, gate, pace, context, tenure }: Pick<TakeoverContext, "deliver" | "gate" | "pace" | "context" | "tenure">,
  group: ReadonlyArray<Orphan>,
  tooLarge: (id: string, error: ValueTooLarge) => Effect.Effect<unknown>
): Effect.Effect<number> =>
  Effect.gen(function* () {
    yield* yieldToEventLoop
    const free = group.filter(({ record }) => !isTaken(context, tenure, record.id))
    if (free.length === 0) return 0
    yield* pace(free.length)
    const claims = Effect.forEach(
      free,
      (orphan) =>
        claimOrphan(context, tenure, orphan).pipe(
          Effect.tap((answer) => (Option.isSome(answer) ? deliver(answer.value) : Effect.void)),
          Effect.map(Option.isSome),
          Effect.catchTags({
            ValueTooLarge: (error) => Effect.as(tooLarge(orphan.record.id, error), false),
            StateStoreUnavailable: (error) =>
              Effect.as(Effect.logDebug(`connection ${orphan.record.id} could not be claimed yet`, error), false)
          })
        ),
      { concurrency: "unbounded" }
    )
    const claimed = yield* gate.pass(claims, [])
    return claimed.filter((mine) => mine).length
  })

/** The victim's own record; undefined: it has gone, or its id has another incarnation that cares itself. */
const readRecord = (context: StoreContext, life: Incarnation, { id, incarnation, record }: Victim) =>
  Effect.gen(function* () {
    const key = instanceKey(id)
    const found = yield* context.store.get(key)
    if (Option.isNone(found)) return undefined
    const { value, version } = found.value
    const read = decodeHeartbeat(id, value)
    if (Either.isRight(read))
      return read.right.incarnation === incarnation ? { record: read.right, version } : undefined
    if (isNewer(value)) return yield* read.left
    // written over since: it has ended all the same, and says so again
    const dead = { ...record, status: "dead" } as const
    const written = yield* put(context.store, {
      key,
      expected: version,
      value: (nonce) => encodeHeartbeat({ ...dead, nonce }),
      mayWrite: life.valid,
      abandoned: life.ended,
      patient: false
    })
    if (written._tag === "Lost") return yield* new StateStoreUnavailable({ reason: `${key} was changed meanwhile` })
    return { record: dead, version: written.version }
  })

/** After a pass that found nothing. False: something has changed meanwhile. */
const finish = (
  services: TakeoverContext,
  victim: Victim,
  version: Version,
  pages: ReadonlyArray<SealedPage>
): Effect.Effect<boolean, Failure> =>
  Effect.gen(function* () {
    const { context, tenure } = services
    const { life } = tenure
    const now = yield* readRecord(context, life, victim)
    if (now === undefined) return true
    if (now.version !== version || !(yield* empty(context.store, life, victim, pages))) return false
    const written = yield* put(context.store, {
      key: instanceKey(victim.id),
      expected: version,
      value: (nonce) => encodeHeartbeat({ ...now.record, status: "done", nonce }),
      ttl: DEPARTED_TTL,
      mayWrite: life.valid,
      abandoned: life.ended,
      patient: false
    })
    if (written._tag === "Lost") return false
    yield* IndexCleanup.forget(context.store, life, { [victim.id]: victim.incarnation })
    yield* Effect.logInfo(`instance ${victim.id}, incarnation ${victim.incarnation}, is taken over`)
    return true
  })
