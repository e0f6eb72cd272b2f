/**
 * Ends another's incarnation: compare-and-set of its heartbeat record to `dead` (src/ownership/README.md, Taking over).
 *
 * Of many survivors one succeeds, the others see it. After silence it fits only the version that was judged: a beat in
 * between ends the attempt. After the word of the peer's host the record is read first.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { decodeHeartbeat, encodeHeartbeat, hasEnded, type HeartbeatRecord } from "../../domain/stored/InstanceRecord.js"
import { instanceKey } from "../../domain/stored/Keys.js"
import { isNewer } from "../../domain/stored/StoredJson.js"
import type { Versioned } from "../../ports/StateStore.js"
import { put } from "../../state/GuardedWrite.js"
import { FENCE_RETRY_DELAY } from "../lease/LeaseTimings.js"
import type { Known, MemberTable } from "./MemberTable.js"
import type { PeerContext } from "./PeerContext.js"

export type Reason = "silence" | "refused"

/** This incarnation has ended; `record` is what stands in the store for its instance now. */
export const conclude = (
  { announcements, elapsed, view }: { readonly view: MemberTable } & Pick<PeerContext, "announcements" | "elapsed">,
  known: Known,
  record: HeartbeatRecord | undefined
): void => {
  const { id, incarnation } = known
  view.end(incarnation)
  // another incarnation of that id has taken its place, and takes its pages too; without a record nothing is left to do
  if (record === undefined || record.incarnation !== incarnation) return announcements.emit("instance-dead", known)
  if (record.status === "done") return
  const reason = record.status === "left" ? "left" : "dead"
  announcements.emit(reason === "left" ? "instance-left" : "instance-dead", known)
  announcements.victim(view, { id, incarnation, record, reason, at: elapsed.mark().monotonic })
}

/** Ends when it is known how it went; under this instance's lease only. */
export const fence = (fleet: PeerContext, known: Known, reason: Reason): Effect.Effect<void> => {
  const { elapsed, life, periods, store, view } = fleet
  const { id, incarnation } = known
  const key = instanceKey(id)

  /** What stands there now; what cannot be understood there takes nothing from what is known, unless a newer version wrote it. */
  const decoded = (found: Option.Option<Versioned>) =>
    Option.match(found, {
      onNone: () => Either.right(undefined),
      onSome: ({ value, version }) =>
        Either.map(
          Either.orElse(decodeHeartbeat(id, value), (failure) =>
            isNewer(value) ? Either.left(failure) : Either.right(known.record)
          ),
          (record) => ({ record, version })
        )
    })

  /** True when it is over. */
  const attempt = Effect.gen(function* () {
    let { record, version }: Pick<Known, "record" | "version"> = known
    if (reason === "refused") {
      const found = yield* Effect.flatMap(Effect.timeout(store.get(key), periods.deadline), decoded)
      if (hasEnded(found?.record, incarnation) || found === undefined) {
        conclude(fleet, known, found?.record)
        return true
      }
      record = found.record
      version = found.version
    }
    if (!life.valid()) return true
    const dead = { ...record, status: "dead", reason, by: life.incarnation } as const
    const written = yield* put(store, {
      key,
      expected: version,
      value: (nonce) => encodeHeartbeat({ ...dead, nonce }),
      mayWrite: life.valid,
      abandoned: life.ended,
      patient: false
    })
    if (written._tag === "Written") {
      conclude(fleet, known, { ...dead, nonce: "" })
      yield* Effect.logWarning(
        `instance ${id} at ${known.address} is fenced, incarnation ${incarnation}: ${
          reason === "refused" ? "its process is gone" : "it was silent too long"
        }`
      )
      return true
    }
    const current = yield* decoded(written.current)
    if (hasEnded(current?.record, incarnation)) {
      conclude(fleet, known, current?.record)
      return true
    }
    if (reason === "refused") return false
    // it has spoken
    known.changedAt = elapsed.mark().monotonic
    return true
  })

  return Effect.suspend(() => {
    if (view.fencing.has(incarnation) || view.ended.has(incarnation)) return Effect.void
    view.fencing.add(incarnation)
    return attempt.pipe(
      // after silence the next judgement tries again
      Effect.catchAll((failure) =>
        reason === "silence"
          ? Effect.as(Effect.logDebug(`instance ${id} was not fenced`, failure), true)
          : Effect.as(Effect.sleep(FENCE_RETRY_DELAY), false)
      ),
      Effect.repeat({ until: (over) => over || life.ended() }),
      Effect.ensuring(Effect.sync(() => view.fencing.delete(incarnation))),
      Effect.asVoid
    )
  })
}
