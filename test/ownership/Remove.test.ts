/** A removal that meets other work on the same id. */
import { expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { uuidv8FromRequest } from "../../src/common/Uuid.js"
import { CONNECTING } from "../../src/domain/ConnectionStatus.js"
import { connectionKey, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import type { NewConnection } from "../../src/ownership/operations/Create.js"
import { type Instance, joined, meddle, stored, until } from "../membership/clockedInstances.js"

const asked: NewConnection = {
  id: uuidv8FromRequest("k"),
  spec: { url: "wss://example.com/feed" },
  specHash: "hash",
  tags: {},
  topic: "",
  status: CONNECTING,
  createdAt: 1_000
}

const calls = (one: Instance, operation: "get" | "replace") =>
  one.faults.calls.filter((call) => call.operation === operation && call.key === connectionKey(asked.id)).length

it.scoped("a repeated request_id waits for a removal, also for one that began while the id was being claimed", () =>
  Effect.gen(function* () {
    const one = yield* joined(new MemoryBackend())
    const create = one.store.create(asked, { keepUnknown: true })
    const made = yield* create
    if (made._tag !== "Created") return yield* Effect.dieMessage("it exists")
    one.faults.calls.length = 0
    one.faults.slow = Duration.millis(100)
    const claiming = yield* Effect.fork(one.store.claim(asked.id))
    yield* until(() => calls(one, "get") === 1)
    one.faults.slow = Duration.millis(500)
    const removing = yield* Effect.fork(one.store.remove(made.owned))
    yield* until(() => calls(one, "replace") === 1)
    yield* TestClock.adjust("200 millis")
    expect(Option.isNone(yield* Fiber.join(claiming))).toBe(true)

    one.faults.slow = undefined
    const again = yield* Effect.fork(create)
    yield* until(() => removing.unsafePoll() !== null)
    yield* Fiber.join(removing)
    const anew = yield* Fiber.join(again)
    expect(anew._tag).toBe("Created")
    expect(anew._tag === "Created" && anew.owned.epoch > made.owned.epoch).toBe(true)
  })
)

/** Fenced, and joined again: everything of the life before is claimed. */
const nextLife = (backend: MemoryBackend, one: Instance) =>
  Effect.gen(function* () {
    const before = one.lease.life()
    yield* meddle(backend, instanceKey("one"), (value) => ({ ...value, status: "dead", nonce: "foreign" }))
    yield* until(() => before.ended() && one.lease.valid())
    const claiming = yield* Effect.fork(Stream.runCollect(one.store.claimOwn))
    yield* until(() => claiming.unsafePoll() !== null)
    return Chunk.toReadonlyArray(yield* Fiber.join(claiming))
  })

/** A connection whose socket is being closed for its removal. */
const closing = Effect.gen(function* () {
  const backend = new MemoryBackend()
  const one = yield* joined(backend)
  const two = yield* joined(backend, { id: "two", address: "http://127.0.0.1:5002", pid: 2 })
  const made = yield* one.store.create(asked, { keepUnknown: true })
  if (made._tag !== "Created") return yield* Effect.dieMessage("it exists")
  const closed = yield* Deferred.make<void>()
  const removing = yield* Effect.fork(Effect.flip(one.store.remove(made.owned, Deferred.await(closed))))
  yield* TestClock.adjust("1 millis")
  const end = Effect.zipRight(
    Effect.zipRight(Deferred.succeed(closed, undefined), TestClock.adjust("1 millis")),
    Fiber.join(removing)
  )
  return { backend, end, one, two }
})

it.scoped("what is being removed is claimed by no later life, also where its socket is still being closed", () =>
  Effect.gen(function* () {
    const { backend, end, one, two } = yield* closing
    expect(yield* nextLife(backend, one)).toEqual([])
    expect(stored(backend, connectionKey(asked.id))).toMatchObject({ tombstone: true })
    expect(yield* end).toMatchObject({ outcome: "unknown" })
    // it may be made anew by anybody, and is hidden here no longer
    expect((yield* two.store.create(asked, { keepUnknown: true }))._tag).toBe("Created")
    expect(Option.isSome(yield* one.store.read(asked.id))).toBe(true)
  })
)

it.scoped("what another has claimed before it was removed is the other's, and not hidden", () =>
  Effect.gen(function* () {
    const { backend, end, one, two } = yield* closing
    const { incarnation } = two.lease.life()
    const others = { owner: "two", incarnation, nonce: "foreign" }
    yield* meddle(backend, connectionKey(asked.id), (value) => ({ ...value, ...others, epoch: value.epoch + 1 }))
    yield* meddle(backend, pageKey("one", 0), (value) => ({ ...value, ids: [], sealed: true, nonce: "foreign" }))
    expect(yield* nextLife(backend, one)).toEqual([])
    expect(yield* end).toMatchObject({ outcome: "unknown" })
    expect(Option.getOrThrow(yield* one.store.read(asked.id))).toMatchObject({ owner: "two" })
  })
)
