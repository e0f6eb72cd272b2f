/**
 * Says that this instance lives: its record, by compare-and-set, once each interval (src/ownership/README.md, Renewing).
 *
 * Runs from the incarnation's first record on, until the incarnation has ended or `left` is written. Knows nothing of
 * connections.
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { evictOldest } from "../../common/EvictOldest.js"
import type { Instant, SuspendAwareClock } from "../../common/SuspendAwareClock.js"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import {
  decodeHeartbeat,
  encodeHeartbeat,
  type HeartbeatRecord,
  type HeartbeatStatus
} from "../../domain/stored/InstanceRecord.js"
import { instanceKey } from "../../domain/stored/Keys.js"
import type { Essentials } from "../../observability/Essentials.js"
import type { MetricsShape } from "../../observability/Metrics.js"
import type { StateStore, Version } from "../../ports/StateStore.js"
import type { IncarnationState } from "./Incarnation.js"
import type { LeaseController } from "./LeaseController.js"
import { HEARTBEAT_RETRY_MS, type LeaseTimings } from "./LeaseTimings.js"

export interface HeartbeatServices {
  readonly store: StateStore["Type"]
  readonly elapsed: SuspendAwareClock
  readonly periods: LeaseTimings
  readonly board: LeaseController
  readonly metrics: MetricsShape
  readonly essentials: Essentials["Type"]
  readonly instanceId: string
  /** The record as it stands now, for this write. */
  readonly record: (
    life: Pick<IncarnationState, "incarnation">,
    status: HeartbeatStatus,
    beat: number,
    nonce: string
  ) => HeartbeatRecord
  /** How long the record shall stand once it says this; undefined: for ever. */
  readonly ttl: (status: HeartbeatStatus) => Duration.Duration | undefined
  /** Opened to send the next beat at once; closed by each sending. */
  readonly wake: Effect.Latch
}

/** Attempts whose sending time is remembered; one that lands later than all of these could not renew a lease anyway. */
const MAX_REMEMBERED_ATTEMPTS = 64
const COMPLAIN_EVERY = 10_000

/** Logged by the fiber that finds it first. */
export const sayEmptied = Effect.logError(
  "the state store has lost the record of this instance: it stops acting and joins again"
)
export const sayFenced = (how: string): Effect.Effect<void> =>
  Effect.logWarning(`fenced: the record of this instance was written by another (${how}); it stops acting`)

/** Ends when the incarnation has: `left` on request, else fenced. */
export const beats = (services: HeartbeatServices, life: IncarnationState): Effect.Effect<void> => {
  const { board, elapsed, essentials, instanceId, metrics, periods, store, wake } = services
  const key = instanceKey(instanceId)
  const sent = new Map<string, Instant>()
  const writing = essentials.retrying("the heartbeat")
  let attempts = 0
  let complainedAt: number | undefined

  const withDeadline = <A, E>(operation: Effect.Effect<A, E>, outcome: { readonly outcome?: "unknown" }) =>
    Effect.timeoutFail(operation, {
      duration: periods.deadline,
      onTimeout: () => new StateStoreUnavailable({ ...outcome, reason: `no answer within ${periods.deadline} ms` })
    })

  const pauseSince = (mark: Instant): Effect.Effect<void> =>
    Effect.suspend(() => {
      const rest = HEARTBEAT_RETRY_MS - elapsed.since(mark)
      return rest > 0 ? Effect.sleep(rest) : Effect.void
    })

  const complain = (what: string, failure: unknown): Effect.Effect<void> =>
    Effect.suspend(() => {
      const now = elapsed.now()
      if (complainedAt !== undefined && now - complainedAt < COMPLAIN_EVERY) return Effect.void
      complainedAt = now
      const rest = (life.remaining() / 1000).toFixed(1)
      return Effect.logWarning(`${what}; the lease runs for another ${rest} s`, failure)
    }).pipe(Effect.zipLeft(writing.failed(what)))

  const landed = (
    version: Version,
    beat: number,
    status: HeartbeatStatus,
    mark: Instant | undefined
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      life.answered()
      life.version = version
      life.wrote(status)
      life.beat = beat
      sent.clear()
      writing.over()
      if (mark !== undefined) board.renew(life, mark)
      if (complainedAt === undefined) return Effect.void
      complainedAt = undefined
      return Effect.logInfo("the heartbeat is written again")
    })

  const emptied = Effect.suspend(() => {
    board.end(life, "emptied")
    return sayEmptied
  })
  const fenced = (how: string) =>
    Effect.suspend(() => {
      board.end(life, "fenced")
      return sayFenced(how)
    })

  /** The compare failed: an earlier attempt of this incarnation has landed, or it was fenced. */
  const readBack: Effect.Effect<HeartbeatStatus | undefined> = Effect.gen(function* () {
    while (!life.ended()) {
      const mark = elapsed.mark()
      const read = yield* Effect.either(withDeadline(store.get(key), {}))
      if (Either.isLeft(read)) {
        yield* complain("the heartbeat cannot be read back", read.left)
        yield* pauseSince(mark)
        continue
      }
      if (Option.isNone(read.right)) return yield* Effect.as(emptied, undefined)
      const { value, version } = read.right.value
      const record = decodeHeartbeat(instanceId, value)
      if (Either.isLeft(record)) return yield* Effect.as(fenced(record.left.reason ?? ""), undefined)
      if (!record.right.nonce.startsWith(`${life.incarnation}.`)) {
        return yield* Effect.as(fenced(describe(record.right)), undefined)
      }
      yield* landed(version, record.right.beat, record.right.status, sent.get(record.right.nonce))
      return record.right.status
    }
    return undefined
  })

  /** One attempt with its own nonce; the status that stands in the store after it, if that is known. */
  const attempt: Effect.Effect<HeartbeatStatus | undefined> = Effect.gen(function* () {
    const mark = elapsed.mark()
    const nonce = `${life.incarnation}.${++attempts}`
    const status = life.laidDown() ? "left" : life.status
    const beat = life.beat + 1
    evictOldest(sent.set(nonce, mark), MAX_REMEMBERED_ATTEMPTS)
    const value = encodeHeartbeat(services.record(life, status, beat, nonce))
    const options = { ttl: services.ttl(status), urgent: true }
    const write =
      life.version === undefined ? store.create(key, value, options) : store.replace(key, value, life.version, options)
    const result = yield* Effect.either(withDeadline(write, { outcome: "unknown" }))
    const observe = (outcome: string) => metrics.heartbeatSeconds(outcome).observe(elapsed.since(mark) / 1000)
    if (Either.isRight(result)) {
      observe("ok")
      yield* landed(result.right, beat, status, mark)
      return status
    }
    if (result.left._tag === "VersionMismatch") {
      // perhaps a fence: until it is read back the store may not be taken for away
      life.answered()
      const found = yield* readBack
      observe(found === undefined ? "fenced" : "ok")
      return found
    }
    if (result.left._tag === "StateStoreUnavailable") life.miss(mark)
    observe("failed")
    yield* complain("the heartbeat was not written", result.left)
    yield* pauseSince(mark)
    return undefined
  })

  /** A defect of a step must not end the heart: it is said, and the next attempt follows. */
  const steady = attempt.pipe(
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : Effect.as(Effect.zipRight(essentials.fell("heartbeat", cause), Effect.sleep(HEARTBEAT_RETRY_MS)), undefined)
    )
  )

  return Effect.gen(function* () {
    while (!life.ended()) {
      const rest = periods.interval - life.sinceBeat()
      if (rest > 0) yield* Effect.timeoutOption(wake.await, rest)
      yield* wake.close
      if ((yield* steady) === "left") return board.end(life, "left")
    }
  }).pipe(Effect.ensuring(Effect.sync(writing.over)))
}

export const describe = ({ by, reason, status }: HeartbeatRecord): string =>
  [status, by === undefined ? "" : `by ${by}`, reason ?? ""].filter((word) => word !== "").join(", ")
