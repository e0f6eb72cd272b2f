/** A fleet on one store in memory, under the test clock, each instance running its reclaimer as a manager does. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { uuidv7 } from "../../src/common/Uuid.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { CONNECTED } from "../../src/domain/ConnectionStatus.js"
import { connectionKey, INDEX_KEY, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import type { Owned } from "../../src/ownership/ConnectionStore.js"
import type { NewConnection } from "../../src/ownership/operations/Create.js"
import type { OrphanClaim } from "../../src/ownership/records/OwnedConnection.js"
import { type Instance, joined, meddle, stored } from "../membership/clockedInstances.js"

export interface Survivor extends Instance {
  /** what it took over, in order */
  readonly claimed: Array<OrphanClaim & { readonly at: number }>
}

export const connection = (over: Partial<NewConnection> = {}): NewConnection => ({
  id: uuidv7(0),
  spec: { url: "wss://example.com/feed" },
  specHash: "hash",
  tags: {},
  topic: "topic",
  status: CONNECTED,
  createdAt: 1_000,
  ...over
})

let ports = 0

/** Joined; it takes over as soon as `reclaims`. */
export const member = (
  backend: MemoryBackend,
  id: string,
  { reclaims = true, settings = {} }: { readonly reclaims?: boolean; readonly settings?: Partial<SettingsShape> } = {}
) =>
  Effect.gen(function* () {
    const instance = yield* joined(backend, { id, pid: ++ports, address: `http://127.0.0.1:${5000 + ports}`, settings })
    const survivor: Survivor = { ...instance, claimed: [] }
    if (reclaims) yield* reclaim(survivor)
    return survivor
  })

/** Runs its claims, as Lives does, until the test ends. */
export const reclaim = (survivor: Survivor) =>
  Effect.forkScoped(
    Effect.zipRight(
      Stream.runDrain(survivor.store.claimOwn),
      Stream.runForEach(survivor.reclaimer.claims(Effect.never), (claimed) =>
        Effect.map(Effect.clock, (clock) => {
          survivor.claimed.push({ ...claimed, at: clock.unsafeCurrentTimeMillis() })
        })
      )
    )
  )

export const create = (one: Instance, asked = connection()): Effect.Effect<Owned> =>
  one.store.create(asked, { keepUnknown: false }).pipe(
    Effect.orDie,
    Effect.flatMap((made) =>
      made._tag === "Created" ? Effect.succeed(made.owned) : Effect.dieMessage(`${asked.id} exists`)
    )
  )

export const createMany = (one: Instance, n: number) =>
  stepping(Effect.forEach(Array.from({ length: n }), () => create(one), { concurrency: "unbounded" }))

/** Runs what takes time, stepping the clock until it is done. */
export const stepping = <A, E, R>(effect: Effect.Effect<A, E, R>, limit = 1000) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(Effect.either(effect))
    for (let i = 0; i < limit; i++) {
      if (Option.isSome(yield* Fiber.poll(fiber))) break
      yield* TestClock.adjust("50 millis")
    }
    return yield* Effect.flatten(Fiber.join(fiber))
  })

/** SIGKILL, and the store says that it is dead. */
export const kill = (backend: MemoryBackend, one: Instance) => Effect.zipRight(one.crash, fence(backend, one.id))

export const fence = (backend: MemoryBackend, id: string) =>
  meddle(backend, instanceKey(id), (record) => ({ ...record, status: "dead", reason: "silence", nonce: "fence" }))

export const record = (backend: MemoryBackend, id: string) => stored(backend, connectionKey(id))
export const heartbeat = (backend: MemoryBackend, id: string) => stored(backend, instanceKey(id))
export const index = (backend: MemoryBackend): Record<string, string> => stored(backend, INDEX_KEY).ids
export const page = (backend: MemoryBackend, id: string, n = 0) => stored(backend, pageKey(id, n))

/** Every id on the pages of an instance. */
export const onPages = (backend: MemoryBackend, id: string): ReadonlyArray<string> => {
  const ids: Array<string> = []
  for (let n = 0; ; n++) {
    const found = page(backend, id, n)
    if (found === undefined) return ids
    ids.push(...found.ids)
  }
}

/** Nothing of it is left but for an hour: pages empty and sealed, record done, no index entry. */
export const isDone = (backend: MemoryBackend, id: string): boolean =>
  heartbeat(backend, id)?.status === "done" && index(backend)[id] === undefined && onPages(backend, id).length === 0

/** Whether it was written to vanish. */
export const vanishes = (backend: MemoryBackend, key: string): boolean =>
  Number.isFinite(backend.entries.get(key)?.expiresAt)

/** Over one store: `a`, which takes nothing over, and `b`, which does. */
export const victimAndSurvivor = Effect.gen(function* () {
  const backend = new MemoryBackend()
  const a = yield* member(backend, "a", { reclaims: false })
  const b = yield* member(backend, "b")
  return { a, b, backend }
})
