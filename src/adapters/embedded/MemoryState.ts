/**
 * A state store in memory: for tests, and for one process that may forget.
 *
 * Handles that share a `MemoryBackend` are handles on one store (S11). Time is the Effect Clock's.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import {
  StateStore,
  tooLarge,
  type Version,
  type Versioned,
  VersionMismatch,
  type WriteOptions
} from "../../ports/StateStore.js"

type Written = ReturnType<StateStore["Type"]["create"]>

interface Entry extends Versioned {
  /** milliseconds since 1970; Infinity: never */
  readonly expiresAt: number
}

/** What handles share. A version is used once in its life, so that a stale one never fits again. */
export class MemoryBackend {
  /** every entry by its key, those that have expired and were not met again included */
  readonly entries = new Map<string, Entry>()
  private versions = 0
  private sweepAt = 1024

  /** The entry, unless it has expired. */
  read(key: string, now: number): Entry | undefined {
    const entry = this.entries.get(key)
    if (entry === undefined || entry.expiresAt > now) return entry
    this.entries.delete(key)
    return undefined
  }

  /** Stores a value under a version never used before; `expiresAt` in milliseconds since 1970. */
  write(key: string, value: string, expiresAt: number, now: number): Version {
    const version = String((this.versions += 1)) as Version
    this.entries.set(key, { value, version, expiresAt })
    if (this.entries.size >= this.sweepAt) this.sweep(now)
    return version
  }

  /** Expired keys that are never read again would stay for ever; doubling the distance keeps a write cheap. */
  private sweep(now: number): void {
    for (const [key, entry] of this.entries) if (entry.expiresAt <= now) this.entries.delete(key)
    this.sweepAt = Math.max(1024, this.entries.size * 2)
  }
}

const make = (backend: MemoryBackend): StateStore["Type"] => {
  const atNow = <A, E = never>(body: (now: number) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.clockWith((clock) => Effect.suspend(() => body(clock.unsafeCurrentTimeMillis())))

  /** Writes if `fits` says so of what is there. */
  const write = (
    key: string,
    value: string,
    options: WriteOptions | undefined,
    fits: (current: Entry | undefined) => boolean
  ) =>
    atNow((now): Written => {
      const refusal = tooLarge(key, value)
      if (refusal !== undefined) return Effect.fail(refusal)
      if (!fits(backend.read(key, now))) return Effect.fail(new VersionMismatch({ key }))
      const expiresAt = options?.ttl === undefined ? Infinity : now + Duration.toMillis(options.ttl)
      return Effect.succeed(backend.write(key, value, expiresAt, now))
    })

  return {
    get: (key) => atNow((now) => Effect.succeed(Option.fromNullable(backend.read(key, now)))),
    getMany: (keys) =>
      atNow((now) => {
        const found = new Map<string, Versioned>()
        for (const key of keys) {
          const entry = backend.read(key, now)
          if (entry !== undefined) found.set(key, entry)
        }
        return Effect.succeed(found)
      }),
    create: (key, value, options) => write(key, value, options, (current) => current === undefined),
    replace: (key, value, expected, options) => write(key, value, options, (current) => current?.version === expected),
    remove: (key, expected) =>
      atNow((now) => {
        if (backend.read(key, now)?.version !== expected) return Effect.fail(new VersionMismatch({ key }))
        backend.entries.delete(key)
        return Effect.void
      }),
    ping: Effect.void
  }
}

/** A handle on `backend`, or on a store of its own. */
export const layer = (backend?: MemoryBackend): Layer.Layer<StateStore> =>
  Layer.sync(StateStore, () => make(backend ?? new MemoryBackend()))
