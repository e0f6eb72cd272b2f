/**
 * A compare-and-set whose outcome is always found out (src/ownership/README.md, Unknown outcomes).
 *
 * The value carries a nonce. Where the store gave no clear answer the key is read back: our nonce: it happened;
 * another value: lost; the old version: the same write is repeated with the same nonce, so that it is harmless if the
 * earlier one still lands.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Duration from "effect/Duration"
import { uuidv7 } from "../common/Uuid.js"
import { StateStoreUnavailable } from "../domain/Errors.js"
import { nonceOf } from "../domain/stored/StoredJson.js"
import type { StateStore, ValueTooLarge, Version, Versioned } from "../ports/StateStore.js"

/** Losing a race is a value. `current` is what stands there instead. */
export type Outcome =
  | { readonly _tag: "Written"; readonly version: Version }
  | { readonly _tag: "Lost"; readonly current: Option.Option<Versioned> }

export interface GuardedWrite {
  readonly key: string
  /** undefined: the key must be absent */
  readonly expected: Version | undefined
  readonly value: (nonce: string) => string
  readonly ttl?: Duration.Duration
  /** Asked right before each sending, the repeated ones too; while false it waits. */
  readonly mayWrite: () => boolean
  /** True ends it; the outcome is then what was found out so far. */
  readonly abandoned: () => boolean
  /**
   * Asked before a create is repeated that may have landed and is not there: false ends it, as `abandoned` does. The store may
   * have come back empty, and what had landed may have been lost with it.
   */
  readonly stands?: Effect.Effect<boolean, StateStoreUnavailable>
  /** Go on while the store says that nothing was changed; else fail then. An unknown outcome is always settled. */
  readonly patient: boolean
  /** Called at each answer that is none. */
  readonly onTrouble?: () => void
}

const WRITE_RETRY_DELAY = "200 millis"

/**
 * Fails with StateStoreUnavailable when it was abandoned, or when it is not patient and nothing was changed; `outcome:
 * "unknown"` when a sending may have landed or may still land.
 */
export const put = (
  store: StateStore["Type"],
  write: GuardedWrite
): Effect.Effect<Outcome, StateStoreUnavailable | ValueTooLarge> =>
  Effect.gen(function* () {
    const nonce = uuidv7(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
    const { expected, key } = write
    const value = write.value(nonce)
    const options = write.ttl === undefined ? undefined : { ttl: write.ttl }
    const send =
      expected === undefined ? store.create(key, value, options) : store.replace(key, value, expected, options)
    let unknown = false

    const givenUp = () => new StateStoreUnavailable({ ...(unknown && { outcome: "unknown" }), reason: "given up" })

    for (;;) {
      if (write.abandoned()) return yield* givenUp()
      if (!write.mayWrite()) {
        yield* Effect.sleep(WRITE_RETRY_DELAY)
        continue
      }
      const sent = yield* Effect.either(send)
      if (Either.isRight(sent)) return { _tag: "Written", version: sent.right }
      const failure = sent.left
      if (failure._tag === "ValueTooLarge") return yield* failure
      if (failure._tag === "StateStoreUnavailable") {
        write.onTrouble?.()
        if (failure.outcome === "unknown") unknown = true
        if (!unknown) {
          if (!write.patient) return yield* failure
          yield* Effect.sleep(WRITE_RETRY_DELAY)
          continue
        }
      }
      const found = yield* readBack(store, write)
      if (found === undefined) return yield* givenUp()
      if (Option.isSome(found) && nonceOf(found.value.value) === nonce) {
        return { _tag: "Written", version: found.value.version }
      }
      if (Option.getOrUndefined(found)?.version !== expected) return { _tag: "Lost", current: found }
      yield* Effect.sleep(WRITE_RETRY_DELAY)
      if (unknown && expected === undefined && !(yield* stillStands(write))) return yield* givenUp()
    }
  })

/** Asked until there is an answer, or it is abandoned. */
const stillStands = ({ abandoned, stands }: GuardedWrite): Effect.Effect<boolean> =>
  stands === undefined
    ? Effect.succeed(true)
    : stands.pipe(
        Effect.retry({ schedule: Schedule.spaced(WRITE_RETRY_DELAY), while: () => !abandoned() }),
        Effect.orElseSucceed(() => false)
      )

/** Undefined when abandoned before there was an answer. */
const readBack = (
  store: StateStore["Type"],
  write: GuardedWrite
): Effect.Effect<Option.Option<Versioned> | undefined> =>
  Effect.gen(function* () {
    while (!write.abandoned()) {
      const read = yield* Effect.either(store.get(write.key))
      if (Either.isRight(read)) return read.right
      write.onTrouble?.()
      yield* Effect.sleep(WRITE_RETRY_DELAY)
    }
    return undefined
  })
