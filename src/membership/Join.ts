/**
 * How an incarnation begins (src/ownership/README.md, Joining and restart): wait first, then write.
 *
 * An id whose record is alive is waited for like any silent peer's. It is taken at once where the record says `left`, or
 * the kernel says that the old process is gone. No record names the waiting instance, so that the holder of the id does not
 * count it as a member. As long as the holder answers that it holds its lease, its silence in the store counts for nothing.
 * Each try to write has an incarnation of its own.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { evictOldest } from "../common/EvictOldest.js"
import { uuidv7 } from "../common/Uuid.js"
import { decodeHeartbeat, encodeHeartbeat, hasEnded, type HeartbeatRecord } from "../domain/stored/InstanceRecord.js"
import { instanceKey } from "../domain/stored/Keys.js"
import { isNewer } from "../domain/stored/StoredJson.js"
import type { Peers } from "../ports/Peers.js"
import type { Version } from "../ports/StateStore.js"
import { put } from "../state/GuardedWrite.js"
import type { HeartbeatServices } from "./lease/Heartbeat.js"
import { IncarnationState } from "./lease/Incarnation.js"
import { judge, patienceOf, silentSince } from "./peers/FailureDetector.js"
import type { MemberTable } from "./peers/MemberTable.js"
import type { ProcessIdentity } from "./ProcessIdentity.js"

export interface JoinContext extends HeartbeatServices {
  readonly identity: ProcessIdentity["Type"]
  readonly peers: Peers["Type"]
  readonly address: string
  /**
   * The incarnations this process tried or lived last: none of them lives beside the one that is joining. The record of one
   * that is forgotten, landing after so long, would be waited for like a stranger's: it does not beat, and is fenced.
   */
  readonly own: Set<string>
}

/** tries to join that may still land: eight minutes of them at least */
const MAX_JOIN_TRIES = 1024
const SAY_EVERY = 5_000

/** What was seen of the incarnation that holds the id. */
interface Holder {
  readonly incarnation: string
  beat: number
  changedAt: number
  /** when this instance said first that it waits, or when the holder answered that last: its silence counts from then on */
  heardAt: number | undefined
  answers: boolean
  /** when this instance said last that it waits */
  toldAt: number
}

/**
 * The incarnation whose first record this wrote. Waits as long as it takes: for the store, and for the holder of the
 * id. A waiting instance judges and says hello like a member; what it answers others stands in the view.
 */
export const join = (services: JoinContext, view: MemberTable): Effect.Effect<IncarnationState> => {
  const { address, elapsed, essentials, identity, instanceId, own, peers, periods, store } = services
  const key = instanceKey(instanceId)
  const pause = Math.min(500, periods.eighth * 2)
  const waiting = essentials.retrying("joining")
  let saidAt: number | undefined

  const say = (line: string, failure?: { readonly message: string }): Effect.Effect<void> =>
    Effect.suspend(() => {
      const now = elapsed.now()
      if (saidAt !== undefined && now - saidAt < SAY_EVERY) return Effect.void
      saidAt = now
      return failure === undefined ? Effect.logWarning(line) : Effect.logWarning(line, failure)
    }).pipe(Effect.zipLeft(waiting.failed(failure === undefined ? line : `${line}: ${failure.message}`)))

  /** No process acts under this record any more. */
  const isFree = (record: HeartbeatRecord): boolean =>
    hasEnded(record, record.incarnation) || own.has(record.incarnation) || identity.isGone(record)

  const fence = (record: HeartbeatRecord, expected: Version, by: string) =>
    Effect.zipRight(
      Effect.logWarning(
        `instance id ${instanceId}: incarnation ${record.incarnation} was silent too long, it is fenced`
      ),
      put(store, {
        key,
        expected,
        value: (nonce) => encodeHeartbeat({ ...record, status: "dead", reason: "silence", by, nonce }),
        mayWrite: () => true,
        abandoned: () => false,
        patient: false
      })
    )

  const begin = (expected: Version | undefined) =>
    Effect.gen(function* () {
      // each try has an incarnation of its own; the first the one by which it said hello
      if (own.has(view.incarnation)) view.incarnation = uuidv7(elapsed.now())
      const life = new IncarnationState(view.incarnation, elapsed, periods, () => view.members())
      evictOldest(own.add(life.incarnation), MAX_JOIN_TRIES)
      const mark = elapsed.mark()
      const written = yield* put(store, {
        key,
        expected,
        value: (nonce) => encodeHeartbeat(services.record(life, "alive", 0, nonce)),
        mayWrite: () => true,
        abandoned: () => false,
        patient: false
      })
      if (written._tag === "Lost") return undefined
      life.version = written.version
      life.renew(mark)
      return life
    })

  let holder: Holder | undefined

  /** Tells the holder which instance waits. Its answer is a sign of life. */
  const greet = (record: HeartbeatRecord, seen: Holder) =>
    Effect.gen(function* () {
      seen.toldAt = elapsed.mark().monotonic
      seen.heardAt ??= seen.toldAt
      const me = { id: instanceId, incarnation: view.incarnation, address }
      const greeting = yield* Effect.option(Effect.timeout(peers.hello(record.address, me), periods.deadline))
      if (Option.isSome(greeting) && greeting.value.incarnation === seen.incarnation) {
        seen.answers = true
        if (greeting.value.acts) seen.heardAt = elapsed.mark().monotonic
      }
    })

  /** Says so again each interval, for its answer. The judging does not wait for it. */
  const remind = (record: HeartbeatRecord, seen: Holder) =>
    Effect.suspend(() => {
      const due = seen.answers && elapsed.mark().monotonic - seen.toldAt >= periods.interval
      return due ? Effect.timeoutOption(greet(record, seen), pause) : Effect.void
    })

  /** How the silence of the holder is to be taken, and how long it lasts. */
  const consider = (record: HeartbeatRecord) =>
    Effect.gen(function* () {
      const now = elapsed.mark().monotonic
      const { beat, incarnation } = record
      if (holder?.incarnation !== incarnation) {
        holder = { incarnation, beat, changedAt: now, heardAt: undefined, answers: false, toldAt: now }
      } else if (holder.beat !== beat) Object.assign(holder, { beat, changedAt: now })
      if (!holder.answers) yield* greet(record, holder)
      const seen = {
        ...holder,
        ttlMs: record.ttlMs,
        intervalMs: record.intervalMs,
        triedAt: holder.heardAt,
        greetedAt: undefined,
        // a promise given meanwhile has ended the listening
        listeningSince: view.listeningSince
      }
      const later = elapsed.mark().monotonic
      return { judgement: judge(seen, later), silent: later - (silentSince(seen) ?? later), patience: patienceOf(seen) }
    })

  let unreadVersion: Version | undefined
  let changes = 0
  /** Stands for a row under our id that cannot be understood: the process that lives under it writes it again, or stops. */
  const unread = (version: Version): HeartbeatRecord => {
    if (unreadVersion !== version) changes++
    unreadVersion = version
    const life = { incarnation: `unreadable-${instanceId}` }
    return { ...services.record(life, "alive", changes, ""), bootId: "", pidNamespace: "", pid: 0 }
  }

  return Effect.gen(function* () {
    for (;;) {
      const step = Effect.gen(function* () {
        const sent = elapsed.mark()
        const read = yield* Effect.timeout(store.get(key), periods.deadline)
        const mark = elapsed.mark()
        const paused = elapsed.since(sent) > periods.deadline * 1.1
        view.readWell(mark, (last) => !paused && elapsed.since(last) <= 2 * periods.interval)
        if (Option.isNone(read)) return yield* begin(undefined)
        const { value, version } = read.value
        const found = decodeHeartbeat(instanceId, value)
        // a newer version's is left to it
        if (Either.isLeft(found) && isNewer(value)) return yield* found.left
        const record = Either.getOrElse(found, () => unread(version))
        if (isFree(record)) return yield* begin(version)
        const { judgement, patience, silent } = yield* consider(record)
        if (judgement === "dead") return yield* Effect.as(fence(record, version, view.incarnation), undefined)
        if (Either.isLeft(found)) {
          yield* say(`${found.left.reason ?? key}; waiting until it was left alone for ${seconds(patience)} s`)
          return yield* Effect.as(Effect.sleep(pause), undefined)
        }
        yield* say(
          `instance id ${instanceId} is in use by incarnation ${record.incarnation} at ${record.address} (pid ${record.pid}); ` +
            `waiting until it leaves, or was silent for ${seconds(patience)} s (now ${seconds(silent)} s)`
        )
        yield* Effect.all([Effect.sleep(pause), remind(record, holder!)], { concurrency: 2, discard: true })
        return undefined
      })
      const life = yield* step.pipe(
        Effect.catchAll((failure) => {
          // silence counts only while this instance listens
          view.stopListening()
          return Effect.as(
            Effect.zipRight(say("joining waits for the state store", failure), Effect.sleep(pause)),
            undefined
          )
        })
      )
      if (life === undefined) continue
      waiting.over()
      // what is counted of the others is counted from their first common read on
      view.forgetReads()
      return life
    }
  })
}

const seconds = (millis: number): string => (millis / 1000).toFixed(1)
