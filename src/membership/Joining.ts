/**
 * How a life begins (architecture, section 2, Joining and restart): wait first, then write.
 *
 * An id whose record is alive is waited for like any silent peer's, unless the record says `left`, or the kernel says that
 * the old process is gone. Each try to write has an incarnation of its own.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { decodeHeartbeat, encodeHeartbeat, hasEnded, type HeartbeatRecord, marginOf } from "../domain/Instance.js"
import { instanceKey } from "../domain/Key.js"
import { uuidv7 } from "../domain/Uuid.js"
import type { Version } from "../ports/StateStore.js"
import type { Mark } from "./Elapsed.js"
import { put } from "./GuardedWrite.js"
import type { HeartbeatServices } from "./Heartbeat.js"
import { LifeState } from "./Life.js"
import type { ProcessIdentity } from "./ProcessIdentity.js"

export interface JoiningServices extends HeartbeatServices {
  readonly identity: ProcessIdentity["Type"]
  /** the incarnations this process tried or lived: none of them lives beside the one that is joining */
  readonly own: Set<string>
}

const SAY_EVERY = 5_000

/** What was seen of the incarnation that holds the id: how long it has been silent is counted from here. */
interface Seen {
  readonly incarnation: string
  readonly beat: number
  readonly since: Mark
}

/** The life whose first record this wrote. Waits as long as it takes: for the store, and for whoever has the id. */
export const join = (services: JoiningServices): Effect.Effect<LifeState> => {
  const { elapsed, identity, instanceId, own, periods, store } = services
  const key = instanceKey(instanceId)
  const pause = Math.min(500, periods.eighth * 2)
  let saidAt: number | undefined

  const say = (line: string, failure?: unknown): Effect.Effect<void> =>
    Effect.suspend(() => {
      const now = elapsed.now()
      if (saidAt !== undefined && now - saidAt < SAY_EVERY) return Effect.void
      saidAt = now
      return failure === undefined ? Effect.logWarning(line) : Effect.logWarning(line, failure)
    })

  /** Nobody acts under this record any more. */
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
      const life = new LifeState(uuidv7(elapsed.now()), elapsed, periods)
      own.add(life.incarnation)
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

  return Effect.gen(function* () {
    let seen: Seen | undefined
    for (;;) {
      const step = Effect.gen(function* () {
        const read = yield* Effect.timeout(store.get(key), periods.deadline)
        if (Option.isNone(read)) return yield* begin(undefined)
        const { value, version } = read.value
        const found = decodeHeartbeat(instanceId, value)
        if (Either.isLeft(found)) return yield* found.left
        const record = found.right
        if (isFree(record)) return yield* begin(version)
        if (seen?.incarnation !== record.incarnation || seen.beat !== record.beat) {
          seen = { incarnation: record.incarnation, beat: record.beat, since: elapsed.mark() }
        }
        const silent = elapsed.since(seen.since)
        const patience = record.ttlMs + marginOf(record.intervalMs)
        if (silent > patience) return yield* Effect.as(fence(record, version, instanceId), undefined)
        yield* say(
          `instance id ${instanceId} is in use by incarnation ${record.incarnation} at ${record.address} (pid ${record.pid}); ` +
            `waiting until it leaves, or was silent for ${seconds(patience)} s (now ${seconds(silent)} s)`
        )
        yield* Effect.sleep(pause)
        return undefined
      })
      const life = yield* step.pipe(
        Effect.catchAll((failure) => {
          // silence counts only while I listen
          seen = undefined
          return Effect.as(
            Effect.zipRight(say("joining waits for the state store", failure), Effect.sleep(pause)),
            undefined
          )
        })
      )
      if (life !== undefined) return life
    }
  })
}

const seconds = (millis: number): string => (millis / 1000).toFixed(1)
