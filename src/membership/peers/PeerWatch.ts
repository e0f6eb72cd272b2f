/**
 * Reads the fleet once each interval, in one bulk read, and judges by what was read (src/ownership/README.md, Judging).
 *
 * Fetching fills the view, judging only reads it: a way to fetch less is another `fetch`. An answer after its deadline is no
 * read; after a read that failed silence counts only from the first good one on. An instance that was kept from its work for longer
 * than a beat doubts itself, and not the others.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Instant } from "../../common/SuspendAwareClock.js"
import { decodeIndex } from "../../domain/stored/InstanceRecord.js"
import { INDEX_KEY, instanceKey } from "../../domain/stored/Keys.js"
import type { Retrying } from "../../observability/Essentials.js"
import type { Versioned } from "../../ports/StateStore.js"
import { describe, sayFenced } from "../lease/Heartbeat.js"
import { READ_SPACING_MS } from "../lease/LeaseTimings.js"
import { applyRead, type Rows } from "./ApplyRead.js"
import { nextChange } from "./FailureDetector.js"
import { fence } from "./Fence.js"
import type { PeerContext } from "./PeerContext.js"
import type { PeerLinks } from "./PeerLinks.js"

/** Runs as long as the incarnation. */
export const watch = (fleet: PeerContext, links: PeerLinks): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { announcements, elapsed, essentials, life, me, periods, store, view } = fleet
    const reading = essentials.retrying("reading the fleet")
    const unreadableIndex = essentials.retrying("the index of instances", 0)
    yield* Effect.addFinalizer(() => Effect.sync(over))
    const fences = yield* FiberMap.make<string>()
    const wake = yield* Effect.makeLatch(false)
    view.look = () => wake.unsafeOpen()
    view.beforeLoss = life.valid

    const fetch = Effect.gen(function* () {
      // the index may not name a greeter yet: it writes its record first, and may have died before its index entry
      const greeters = [...view.greeters.values()].map(({ id }) => id)
      const known = new Set([me.id, ...view.peers.keys(), ...view.indexed.keys(), ...greeters])
      const first = yield* store.getMany([INDEX_KEY, ...[...known].map(instanceKey)])
      const entry = first.get(INDEX_KEY)
      const index = entry === undefined ? Either.right(undefined) : decodeIndex(entry.value)
      if (Either.isRight(index)) unreadableIndex.over()
      else yield* unreadableIndex.failed(index.left.reason ?? "")
      // while the index cannot be understood no instance joins, and the known ones are judged all the same
      const ids = Either.isRight(index) ? (index.right?.ids ?? {}) : Object.fromEntries(view.indexed)
      // an instance that has just come is read at once
      const fresh = Object.keys(ids).filter((id) => !known.has(id))
      const second = fresh.length === 0 ? new Map<string, Versioned>() : yield* store.getMany(fresh.map(instanceKey))
      const records = new Map<string, Versioned | undefined>()
      for (const id of [...known, ...fresh]) {
        const key = instanceKey(id)
        records.set(id, first.get(key) ?? second.get(key))
      }
      return { ids, records } satisfies Rows
    })

    const saidOf = new Map<string, Retrying>()
    /** Each row that cannot be understood is said, and stands in `/health` as long as it is there. */
    const sayUnreadable = Effect.suspend(() => {
      for (const [id, said] of saidOf) {
        if (view.unreadable.has(id)) continue
        said.over()
        saidOf.delete(id)
      }
      return Effect.forEach(
        view.unreadable,
        ([id, reason]) => {
          const said = saidOf.get(id) ?? essentials.retrying(`the record of instance ${id}`, 0)
          saidOf.set(id, said)
          return said.failed(reason)
        },
        { discard: true }
      )
    })
    const over = (): void => {
      for (const said of [reading, unreadableIndex, ...saidOf.values()]) said.over()
    }

    const read = (sent: Instant) =>
      fetch.pipe(
        Effect.timeout(periods.deadline),
        Effect.tapError((failure) =>
          Effect.zipRight(Effect.logDebug("the fleet was not read", failure), reading.failed(failure.message))
        ),
        Effect.option,
        Effect.flatMap((rows) => {
          if (Option.isNone(rows) || elapsed.since(sent) > periods.deadline * 1.1)
            return Effect.sync(() => view.stopListening())
          reading.over()
          const fencedBy = applyRead(fleet, rows.value, sent)
          return Effect.zipRight(sayUnreadable, fencedBy === undefined ? Effect.void : sayFenced(describe(fencedBy)))
        })
      )

    const judgeAll = Effect.gen(function* () {
      // what was read before a pause says nothing of what happened in it
      if (view.lastGood === undefined || elapsed.since(view.lastGood) > 2 * periods.interval) view.stopListening()
      const now = elapsed.mark().monotonic
      for (const known of view.peers.values()) {
        const { incarnation } = known
        if (view.ended.has(incarnation) || view.fencing.has(incarnation)) continue
        const judgement = view.judge(known, now)
        if (judgement === "alive") announcements.recovered(known)
        else announcements.emit("instance-suspect", known)
        if (judgement !== "dead" || !life.valid()) continue
        yield* FiberMap.run(
          fences,
          incarnation,
          essentials.essential("fencing of peers", fence(fleet, known, "silence")),
          {
            onlyIfMissing: true
          }
        )
      }
    })

    /** Milliseconds until a peer's silence will mean something else. */
    const untilChange = (): number => {
      const now = elapsed.mark().monotonic
      let least = Number.POSITIVE_INFINITY
      for (const known of view.peers.values()) {
        if (view.ended.has(known.incarnation)) continue
        const at = nextChange(view.seen(known), now)
        // due and not done (no lease, or the fence failed): with the next read
        if (at !== undefined && at >= now) least = Math.min(least, at - now + 1)
      }
      return least
    }

    const rest = (sent: Instant) =>
      Effect.gen(function* () {
        for (;;) {
          const left = Math.max(periods.interval - elapsed.since(sent), READ_SPACING_MS)
          const pause = Math.min(left, untilChange())
          const before = elapsed.mark()
          const asked = yield* Effect.timeoutOption(wake.await, pause)
          if (elapsed.since(before) > pause + periods.interval) view.stopListening()
          if (Option.isSome(asked) || pause === left || view.listeningSince === undefined) break
          yield* judgeAll
        }
        yield* wake.close
      })

    while (!life.ended()) {
      const sent = elapsed.mark()
      yield* read(sent)
      if (life.ended()) return
      yield* links.tend
      yield* judgeAll
      yield* rest(sent)
    }
  })
